"""One way to encode: a window of a clip, at one rate and size, as H.264 that is the same bytes each time."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from hazardline import video
from hazardline.files import atomic_stream
from hazardline.video_file import VideoError

_PRESET = "veryfast"
_MAX_DENOMINATOR = 1001
"""Of a rate: 30000/1001 is the finest that cameras write."""


@dataclass(frozen=True)
class Job:
    """What to make of one clip."""

    source: Path
    out: Path
    width_px: int
    height_px: int
    fps: float
    crf: int
    start_s: float
    length_s: float
    """At the clip's end the window ends sooner."""


@dataclass(frozen=True)
class Made:
    """A clip that was written."""

    num_frames: int


@dataclass(frozen=True)
class Fault:
    """A clip that was not, and why."""

    reason: str
    detail: str


def rate_of(fps: float) -> Fraction:
    """The rate as cameras write it."""
    return Fraction(fps).limit_denominator(_MAX_DENOMINATOR)


def encode_window(job: Job) -> Made | Fault:
    """Decode the window, cut it to the target's shape, scale it, and write it.

    A picture of another shape is cut at its sides: bars would tell its shape, and stretching bends what is in it.
    """
    try:
        info = video.probe(job.source)
        pictures = _pictures(job, info.width_px, info.height_px)
        first = next(pictures, None)
        if first is None:
            return Fault("too_short", f"no frame after {job.start_s:.2f} s")
        with atomic_stream(job.out) as stream, av.open(stream, "w", format="mp4") as container:
            return Made(_write(container, itertools.chain([first], pictures), job))
    except VideoError as error:
        return Fault(error.reason, error.detail)


def _pictures(job: Job, width_px: int, height_px: int) -> Iterator[np.ndarray]:
    """uint8 (height_px, width_px, 3) of the window on a regular clock."""
    scale = max(job.width_px / width_px, job.height_px / height_px)
    width, height = max(job.width_px, round(width_px * scale)), max(job.height_px, round(height_px * scale))
    left, top = (width - job.width_px) // 2, (height - job.height_px) // 2
    rate = rate_of(job.fps)
    first = math.ceil(job.start_s * rate - 1e-6)
    count = max(1, math.floor(job.length_s * rate + 1e-6))
    whole = video.frames(job.source, float(rate), width, height, float((first + count + 1) / rate))
    for index, picture in enumerate(whole):
        if first <= index < first + count:
            yield np.ascontiguousarray(picture[top : top + job.height_px, left : left + job.width_px])


def _write(container: av.container.OutputContainer, pictures: Iterator[np.ndarray], job: Job) -> int:
    rate = rate_of(job.fps)
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height, stream.pix_fmt = job.width_px, job.height_px, "yuv420p"
    # As the simulator's: `mbtree` and threads would spoil that the same pictures give the same bytes.
    stream.options = {"crf": str(job.crf), "preset": _PRESET, "x264-params": "mbtree=0"}
    stream.codec_context.thread_count = 1
    stream.gop_size = math.ceil(rate)
    count = 0
    for picture in pictures:
        container.mux(stream.encode(VideoFrame.from_ndarray(picture, format="rgb24")))
        count += 1
    container.mux(stream.encode(None))
    return count
