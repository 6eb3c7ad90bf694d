"""The PyAV decoder: frames of a file on a regular clock. `hazardline.video` decides which decoder is used."""

from collections.abc import Iterator, Sequence
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
    check_px,
    check_times,
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
        self.num_px, self.num_bytes = 0, 0


def _displayed(
    path: Path, container: InputContainer, stream: VideoStream, info: VideoInfo, count: _Count
) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded frames with their times after the first frame; damaged packets are passed over and counted.

    Pixels are counted as the decoder makes them: a stream may change its size, and hold pictures that are not shown.
    """
    first_s, time_s = None, 0.0
    decoder = stream.codec_context
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
        count.num_px += max(1, len(decoded)) * decoder.width * decoder.height
        count.num_bytes += packet.size
        check_px(path, count.num_px, count.num_bytes)
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
        times_s = [k / rate_hz for k in range(info.num_samples(rate_hz, max_s))]
        displayed = _displayed(path, container, stream, info, count := _Count())
        yield from _shown(path, info, displayed, count, times_s, width_px, height_px, checks_rest=max_s is None)


def at(path: Path, times_s: Sequence[float], width_px: int, height_px: int, thread_count: int) -> np.ndarray:
    """As `hazardline.video.at`, by decoding everything: the definition of it."""
    with opened(path, thread_count) as (container, stream, info):
        check_times(path, info, times_s)
        displayed = _displayed(path, container, stream, info, count := _Count())
        order = np.argsort(times_s, kind="stable")
        result = np.empty((len(times_s), height_px, width_px, 3), np.uint8)
        ascending = [times_s[row] for row in order]
        shown = _shown(path, info, displayed, count, ascending, width_px, height_px, checks_rest=True)
        for row, image in zip(order, shown, strict=True):
            result[row] = image
        return result


def _shown(
    path: Path,
    info: VideoInfo,
    displayed: Iterator[tuple[float, VideoFrame]],
    count: _Count,
    times_s: Sequence[float],
    width_px: int,
    height_px: int,
    checks_rest: bool,
) -> Iterator[np.ndarray]:
    """Pixels of what is on display at ascending times; with `checks_rest` the file is decoded to its end."""
    total, sent = len(times_s), 0
    scaler = VideoReformatter()
    limit_s = info.duration_s + duration_slack_s(info)
    current: VideoFrame | None = None
    image: np.ndarray | None = None
    for time_s, frame in displayed:
        # Everything that falls before this frame shows the frame before it.
        while current is not None and sent < total and times_s[sent] < time_s - CLOCK_TOLERANCE_S:
            image = pixels(path, scaler, current, width_px, height_px) if image is None else image
            yield image
            sent += 1
        if sent == total and not checks_rest:
            return
        current, image = frame, None
        if time_s > limit_s:
            break  # frames far behind the promised end; `check_decoded` says so
        if count.whole + count.damaged > MAX_FRAMES:
            detail = f"more than {MAX_FRAMES} frames, {info.num_frames} are promised"
            raise VideoError(path, "inconsistent_duration", detail)
    check_decoded(path, info, count.whole, count.damaged, count.end_s, count.fault)
    assert current is not None
    image = pixels(path, scaler, current, width_px, height_px)
    for _ in range(sent, total):
        yield image


def pixels(path: Path, scaler: VideoReformatter, frame: VideoFrame, width_px: int, height_px: int) -> np.ndarray:
    """RGB pixels of a frame, upright: dashcams mounted upside down say so in the stream's display matrix."""
    turns = round(frame.rotation / 90) % 4
    width, height = (height_px, width_px) if turns % 2 else (width_px, height_px)
    interpolation = AREA if (frame.width, frame.height) != (width, height) else None
    try:
        image = scaler.reformat(frame, width, height, "rgb24", interpolation=interpolation, threads=1)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(path, "unreadable", f"{frame.format.name} cannot become RGB: {error_text(error)}") from None
    return np.rot90(image.to_ndarray(), turns) if turns else image.to_ndarray()
