"""Reading video files: what a file promises (`probe`) and its frames on a regular clock (`frames`, `decode`).

This module chooses the decoder. An image is a video of one frame. It knows nothing of clips and labels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from hazardline import image_file, video_file, video_pyav
from hazardline.errors import UserError
from hazardline.video_file import VideoError, VideoInfo, VideoReason

__all__ = [
    "VideoError",
    "VideoInfo",
    "VideoReason",
    "backend",
    "backend_reason",
    "decode",
    "frames",
    "probe",
    "use_pyav",
]

MAX_ARRAY_BYTES = 4 << 30
"""What `decode` may return at most; `frames` has no such limit."""

_Choice = tuple[Literal["torchcodec", "pyav"], str]
_chosen: _Choice | None = None


def backend() -> Literal["torchcodec", "pyav"]:
    """The decoder of this process, chosen at the first use: torchcodec where it really decodes, else PyAV."""
    return _choice()[0]


def backend_reason() -> str:
    """Why `backend` is what it is, in one line."""
    return _choice()[1]


def use_pyav(reason: str) -> None:
    """Settle this process on PyAV: torchcodec imports torch, which a vehicle's process must not."""
    global _chosen
    _chosen = ("pyav", reason)


def _choice() -> _Choice:
    global _chosen
    if _chosen is not None:
        return _chosen
    from hazardline import video_torchcodec

    fault = video_torchcodec.fault()
    chosen: _Choice = ("pyav", fault) if fault else ("torchcodec", "torchcodec decoded a test clip here")
    _chosen = chosen
    return chosen


def probe(path: Path) -> VideoInfo:
    """Codec, size, rate and length, from the head of a file.

    Raises:
        VideoError: as `hazardline.video_file.probe`, or of an image as `hazardline.image_file.probe`.
    """
    return image_file.probe(path) if image_file.is_image(path) else video_file.probe(path)


def decode(
    path: Path,
    rate_hz: float,
    width_px: int,
    height_px: int,
    max_s: float | None = None,
    thread_count: int = 1,
) -> np.ndarray:
    """The frames on display at k / rate_hz seconds after the first frame, for k from 0 up to `num_samples`.

    Args:
        path: The file.
        rate_hz: Samples per second; the file's own rate may vary, its time stamps are honoured.
        width_px: Width of the result; another size is made with an area filter, the same is not filtered.
        height_px: Height of the result.
        max_s: Look at this many seconds from the beginning only (the rest is not checked then).
        thread_count: Threads of the decoder. One is fastest for small clips and for many processes.

    Returns:
        uint8 (T, height_px, width_px, 3), RGB; T = max(1, floor(duration * rate_hz)).

    Raises:
        VideoError: as `probe`; or frames are missing (`truncated`) or span another time than promised
            (`inconsistent_duration`), beyond the tolerances of this module.
    """
    info = probe(path)
    count = info.num_samples(rate_hz, max_s)
    size_bytes = count * height_px * width_px * 3
    if size_bytes > MAX_ARRAY_BYTES:
        raise UserError(
            f"{path}: {count} frames of {width_px}x{height_px} take {size_bytes} bytes, over the limit of "
            f"{MAX_ARRAY_BYTES}; decode fewer seconds, a lower rate or a smaller size"
        )
    result = np.empty((count, height_px, width_px, 3), np.uint8)
    for index, frame in enumerate(frames(path, rate_hz, width_px, height_px, max_s, thread_count)):
        result[index] = frame
    return result


def frames(
    path: Path,
    rate_hz: float,
    width_px: int,
    height_px: int,
    max_s: float | None = None,
    thread_count: int = 1,
) -> Iterator[np.ndarray]:
    """As `decode`, one uint8 (height_px, width_px, 3) frame at a time, in constant memory.

    A fault of the file may show only at the end: a caller must take all frames before it trusts any.
    """
    if not (rate_hz > 0 and width_px > 0 and height_px > 0 and (max_s is None or max_s > 0)):
        raise ValueError(f"rate {rate_hz}, size {width_px}x{height_px} and max_s {max_s} must be positive")
    if image_file.is_image(path):
        return iter([image_file.read(path, width_px, height_px)])
    if backend() == "torchcodec":
        from hazardline import video_torchcodec

        return video_torchcodec.frames(path, probe(path), rate_hz, width_px, height_px, max_s, thread_count)
    return video_pyav.frames(path, rate_hz, width_px, height_px, max_s, thread_count)
