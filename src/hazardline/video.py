"""Reading video files: what a file promises, whether it holds that, and its frames.

`frames` and `decode` give them on a regular clock, `at` at chosen times. This module chooses the decoder. An image is a
video of one frame. It knows nothing of clips and labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hazardline import image_file, video_file, video_index, video_pyav, video_seek
from hazardline.errors import UserError
from hazardline.video_file import VideoError, VideoInfo, VideoReason

__all__ = [
    "VideoError",
    "VideoInfo",
    "VideoReason",
    "at",
    "backend",
    "backend_reason",
    "check_packets",
    "decode",
    "frames",
    "probe",
    "use_pyav",
]

MAX_ARRAY_BYTES = 4 << 30
"""What `decode` and `at` may return at most; `frames` has no such limit."""

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
    count = probe(path).num_samples(rate_hz, max_s)
    _check_size(path, count, width_px, height_px)
    result = np.empty((count, height_px, width_px, 3), np.uint8)
    for index, frame in enumerate(frames(path, rate_hz, width_px, height_px, max_s, thread_count)):
        result[index] = frame
    return result


def _check_size(path: Path, count: int, width_px: int, height_px: int) -> None:
    size_bytes = count * height_px * width_px * 3
    if size_bytes > MAX_ARRAY_BYTES:
        raise UserError(
            f"{path}: {count} frames of {width_px}x{height_px} take {size_bytes} bytes, over the limit of "
            f"{MAX_ARRAY_BYTES}; decode fewer seconds, a lower rate or a smaller size"
        )


def at(
    path: Path, times_s: Sequence[float], width_px: int, height_px: int, thread_count: int = 1
) -> npt.NDArray[np.uint8]:
    """The frames on display at given times after the first frame: those that `frames` shows then, to the bit.

    Only what these frames need is decoded. The whole file is read, so that missing frames are found as by `frames`;
    damage in what is not decoded is not.

    Args:
        path: The file. An image is on display at all times.
        times_s: Seconds after the first frame, in any order. A little behind the end the last frame is on display.
        width_px: Width of the result.
        height_px: Height of the result.
        thread_count: Threads of the decoder.

    Returns:
        uint8 (len(times_s), height_px, width_px, 3), RGB.

    Raises:
        VideoError: as `decode`.
        UserError: a time is negative or behind the end, or the result would be larger than `MAX_ARRAY_BYTES`.
    """
    if not (width_px > 0 and height_px > 0):
        raise ValueError(f"size {width_px}x{height_px} must be positive")
    _check_size(path, len(times_s), width_px, height_px)
    if image_file.is_image(path):
        return np.repeat(image_file.read(path, width_px, height_px)[None], len(times_s), axis=0)
    if backend() == "torchcodec":
        from hazardline import video_torchcodec

        return video_torchcodec.at(path, probe(path), times_s, width_px, height_px, thread_count)
    return video_seek.at(path, times_s, width_px, height_px, thread_count)


def check_packets(path: Path) -> VideoInfo:
    """What a file promises, after a look whether it holds that many frames and seconds; nothing is decoded.

    Raises:
        VideoError: as `hazardline.video_index.check_packets`, or of an image as `hazardline.image_file.probe`.
    """
    return image_file.probe(path) if image_file.is_image(path) else video_index.check_packets(path)


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
