"""What every layout writer needs: the clips of a native folder, their pictures at another rate, and files of frames."""

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from hazardline import video_pyav
from hazardline.errors import UserError
from hazardline.files import path_inside
from hazardline.ingest.lines import read_lines
from hazardline.native import MANIFEST_NAME, NativeClip
from hazardline.video_file import probe

_WHAT = "the manifest of a native folder, docs/native-layout.md"


def read_clips(root: Path) -> Iterator[NativeClip]:
    """The clips of a native folder in the order of its manifest.

    Raises:
        UserError: there is no manifest, or a line of it is no clip.
    """
    manifest = root / MANIFEST_NAME
    for number, line in read_lines(manifest, _WHAT):
        if line is None:
            raise UserError(f"{manifest}:{number}: the line is too long; expected {_WHAT}")
        yield NativeClip.parse_json(line, f"{manifest}:{number}")


def video_of(root: Path, clip: NativeClip) -> Path:
    """The clip's video file.

    Raises:
        UserError: it leads out of the folder.
    """
    path = path_inside(root, clip.video)
    if path is None:
        raise UserError(f"{root}: clip {clip.clip_id}: video {clip.video!r} leads out of the folder; put a copy inside")
    return path


def recording_of(clip: NativeClip) -> str:
    """A text of eleven characters in the form of a YouTube id; a clip and its twin come from one recording."""
    digest = hashlib.sha256(f"recording/{clip.recording_id or clip.pair_id or clip.clip_id}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:8]).decode()[:11]


def pictures(path: Path, rate_hz: float) -> Iterator[np.ndarray]:
    """All frames of a video at a rate, each uint8 (H, W, 3) in the video's own size.

    The frame that is on display at k / rate_hz seconds, also where the video has another rate (then frames repeat or
    are passed over), so that times in seconds stay what they are. Always by PyAV: the same bytes on every machine.

    Raises:
        hazardline.video_file.VideoError: the video cannot be decoded whole.
    """
    info = probe(path)
    return video_pyav.frames(path, rate_hz, info.width_px, info.height_px, None, 1)


def write_frames(path: Path, rate_hz: float, pattern: str, first: int) -> int:
    """Write the frames of a video as numbered images; returns how many.

    Args:
        path: the video.
        rate_hz: frames a second to write.
        pattern: their path with the number to be filled in: `.../{:06}.jpg`. The suffix says the format.
        first: number of the first frame.
    """
    count, shown, image = 0, None, b""
    for picture in pictures(path, rate_hz):
        target = Path(pattern.format(first + count))
        if picture is not shown:  # a frame that is shown again at a higher rate is the same array
            shown, image = picture, _image(picture, target.suffix)
        if not count:
            target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(image)
        count += 1
    return count


def _image(picture: np.ndarray, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    else:
        Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
