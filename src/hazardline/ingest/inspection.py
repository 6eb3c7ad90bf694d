"""Looks at one video file: what it promises, whether it decodes to its end, fingerprint and cheap features."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict

from hazardline import video
from hazardline.ingest.features import HEIGHT_PX, RATE_HZ, WIDTH_PX, ClipFeatures, Observer
from hazardline.ingest.reason import Reason


@dataclass(frozen=True)
class Inspection:
    """A file that decodes."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")  # the fingerprint, in JSON

    size_bytes: int
    info: video.VideoInfo
    fingerprint: bytes
    """See `hazardline.ingest.fingerprints`."""
    features: ClipFeatures


@dataclass(frozen=True)
class Fault:
    """A file that cannot be used."""

    reason: Reason
    detail: str
    is_lasting: bool = True
    """False where another try may go well: it is the disk's or the machine's fault, not the file's."""


def inspect(path: Path) -> Inspection | Fault:
    """Read and decode a file once."""
    try:
        info = video.probe(path)
        observer = Observer()
        for frame in video.frames(path, RATE_HZ, WIDTH_PX, HEIGHT_PX):
            observer.see(frame)
        size_bytes = path.stat().st_size
    except video.VideoError as error:
        return Fault(error.reason, error.detail)
    except (OSError, MemoryError) as error:
        return Fault("unreadable", f"cannot be read: {str(error) or type(error).__name__}", is_lasting=False)
    return Inspection(size_bytes, info, observer.fingerprint(), observer.features())
