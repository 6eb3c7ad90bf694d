"""The PyAV decoder: frames of a file on a regular clock. `hazardline.video` decides which decoder is used."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from hazardline.video_file import (
    CLOCK_TOLERANCE_S,
    MAX_FRAMES,
    VideoError,
    VideoInfo,
    check_decoded,
    duration_slack_s,
    error_text,
    opened,
)

AREA = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""Area filter, rounded (the fast path is 1 level too dark), the same on every processor, with colour for each pixel."""


class _Count:
    """How much of a file has really decoded."""

    def __init__(self) -> None:
        self.whole, self.damaged, self.end_s, self.fault = 0, 0, 0.0, ""


def _displayed(
    container: InputContainer, stream: VideoStream, info: VideoInfo, count: _Count
) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded frames with their times after the first frame; damaged packets are passed over and counted."""
    first_s, time_s = None, 0.0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            decoded = packet.decode() if packet is not None else []
        except av.FFmpegError as error:
            count.fault = count.fault or error_text(error)
            continue  # a generator that failed ends at the next turn; a packet that failed is passed over
        if packet is None:
            return
        for frame in decoded:
            assert isinstance(frame, VideoFrame)
            own_s = frame.time if frame.pts is not None else None
            if first_s is None:
                first_s = own_s or 0.0
            step_s = 1 / info.fps
            number = count.whole + count.damaged
            time_s = max(time_s, own_s - first_s if own_s is not None else number * step_s)
            count.damaged += frame.is_corrupt
            count.whole += not frame.is_corrupt
            held_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step_s
            count.end_s = time_s + held_s
            yield time_s, frame


def frames(
    path: Path, rate_hz: float, width_px: int, height_px: int, max_s: float | None, thread_count: int
) -> Iterator[np.ndarray]:
    with opened(path, thread_count) as (container, stream, info):
        total, sent, count = info.num_samples(rate_hz, max_s), 0, _Count()
        scaler = VideoReformatter()
        limit_s = info.duration_s + duration_slack_s(info)
        current: VideoFrame | None = None
        pixels: np.ndarray | None = None
        for time_s, frame in _displayed(container, stream, info, count):
            # Everything that falls before this frame shows the frame before it.
            while current is not None and sent < total and sent / rate_hz < time_s - CLOCK_TOLERANCE_S:
                pixels = _pixels(path, scaler, current, width_px, height_px) if pixels is None else pixels
                yield pixels
                sent += 1
            if sent == total and max_s is not None:
                return
            current, pixels = frame, None
            if time_s > limit_s:
                break  # frames far behind the promised end; `check_decoded` says so
            if count.whole + count.damaged > MAX_FRAMES:
                detail = f"more than {MAX_FRAMES} frames, {info.num_frames} are promised"
                raise VideoError(path, "inconsistent_duration", detail)
        check_decoded(path, info, count.whole, count.damaged, count.end_s, count.fault)
        assert current is not None
        pixels = _pixels(path, scaler, current, width_px, height_px)
        for _ in range(sent, total):
            yield pixels


def _pixels(path: Path, scaler: VideoReformatter, frame: VideoFrame, width_px: int, height_px: int) -> np.ndarray:
    """RGB pixels of a frame, upright: dashcams mounted upside down say so in the stream's display matrix."""
    turns = round(frame.rotation / 90) % 4
    width, height = (height_px, width_px) if turns % 2 else (width_px, height_px)
    interpolation = AREA if (frame.width, frame.height) != (width, height) else None
    try:
        image = scaler.reformat(frame, width, height, "rgb24", interpolation=interpolation, threads=1)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(path, "unreadable", f"{frame.format.name} cannot become RGB: {error_text(error)}") from None
    return np.rot90(image.to_ndarray(), turns) if turns else image.to_ndarray()
