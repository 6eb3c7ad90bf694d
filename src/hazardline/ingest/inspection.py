"""Looks at one video file: digest, what it promises, whether it decodes to its end, fingerprint and cheap features."""

from dataclasses import dataclass
from pathlib import Path

from hazardline import video
from hazardline.files import sha256_file
from hazardline.ingest.adapter import Reason
from hazardline.ingest.features import HEIGHT_PX, RATE_HZ, WIDTH_PX, ClipFeatures, Observer


@dataclass(frozen=True)
class Inspection:
    """A file that decodes."""

    sha256: str
    size_bytes: int
    info: video.VideoInfo
    fingerprint: bytes
    features: ClipFeatures


@dataclass(frozen=True)
class Fault:
    """A file that cannot be used."""

    reason: Reason
    detail: str


def inspect(path: Path) -> Inspection | Fault:
    """Read and decode a file once."""
    try:
        info = video.probe(path)
        observer = Observer()
        for frame in video.frames(path, RATE_HZ, WIDTH_PX, HEIGHT_PX):
            observer.see(frame)
        size_bytes, digest = path.stat().st_size, sha256_file(path)
    except video.VideoError as error:
        return Fault(error.reason, error.detail)
    except (OSError, MemoryError) as error:
        return Fault("unreadable", f"cannot be read: {str(error) or type(error).__name__}")
    return Inspection(digest, size_bytes, info, observer.fingerprint(), observer.features())
