"""Still images (PNG, JPEG) as clips of one frame. They come from outside: format, size and decoding are checked.

`hazardline.video` decides by the file's name; nothing else knows that an image is no video.
"""

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hazardline.video_file import MAX_SIDE_PX, VideoError, VideoInfo

SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image."""
    return path.suffix.lower() in SUFFIXES


def probe(path: Path) -> VideoInfo:
    """Format and size, from the header: one frame of no duration.

    Raises:
        VideoError: as `read`, but for what only decoding shows.
    """
    with _opened(path) as image:
        width, height = image.size
        if _is_turned(image):
            width, height = height, width
        return VideoInfo(str(image.format).lower(), width, height, fps=1.0, num_frames=1, duration_s=0.0)


def read(path: Path, width_px: int, height_px: int) -> np.ndarray:
    """The image upright, uint8 (height_px, width_px, 3), RGB; another size is made with an area filter.

    Raises:
        VideoError: the file is missing, no PNG or JPEG, larger than the limits, or does not decode whole.
    """
    with _opened(path) as image:
        try:
            upright = (ImageOps.exif_transpose(image) if image.format == "JPEG" else image).convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise VideoError(path, "truncated", f"the image does not decode whole: {error}") from None
    if upright.size != (width_px, height_px):
        upright = upright.resize((width_px, height_px), Image.Resampling.BOX)
    return np.asarray(upright)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise VideoError(path, "missing_file", f"no such file ({error})") from None
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        raise VideoError(path, "unreadable", "not a plain file, or empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            image = Image.open(path, formats=_FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise VideoError(path, "unreadable", f"not readable as PNG or JPEG: {error}") from None
    with image:
        if max(image.size) > MAX_SIDE_PX:
            width, height = image.size
            raise VideoError(path, "unreadable", f"{width}x{height} is over the limit of {MAX_SIDE_PX} a side")
        yield image


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the camera was held on its side; a PNG may have it behind the pixels, and is not asked."""
    return image.format == "JPEG" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
