"""The torchcodec decoder, for machines that have FFmpeg's shared libraries. `hazardline.video` chooses.

torchcodec imports torch, so it is not imported before it is known that its libraries are present.
"""

import ctypes
import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from hazardline.video_file import CLOCK_TOLERANCE_S, VideoError, VideoInfo, check_decoded, check_px, check_times
from hazardline.video_pyav import AREA

_AVUTIL_VERSIONS = (61, 60, 59, 58, 57, 56)
"""libavutil of FFmpeg 9 down to 4, the ones torchcodec has builds for."""
_BATCH = 16
"""Full-size frames held at once."""


def fault() -> str | None:
    """Why torchcodec cannot be used here, or None where it decoded a small clip made on the spot."""
    if importlib.util.find_spec("torchcodec") is None:
        return "torchcodec is not installed"
    if not any(_loads(f"libavutil.so.{version}") for version in _AVUTIL_VERSIONS):
        return "torchcodec is installed, but FFmpeg's shared libraries (versions 4 to 9) are not"
    try:
        from torchcodec.decoders._video_decoder import VideoDecoder

        shape = tuple(VideoDecoder(_test_clip(), dimension_order="NHWC").get_frame_at(0).data.shape)
    except (ImportError, OSError, RuntimeError) as error:
        return f"torchcodec does not decode here: {' '.join(str(error).split())[:200]}"
    return None if shape == (48, 64, 3) else f"torchcodec decoded a 64x48 clip as {shape}"


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _test_clip() -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in (0, 80, 160):
            frame = VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


def frames(
    path: Path,
    info: VideoInfo,
    rate_hz: float,
    width_px: int,
    height_px: int,
    max_s: float | None,
    thread_count: int,
) -> Iterator[np.ndarray]:
    """As `hazardline.video.frames`. torchcodec rotates itself and fails at the first damaged packet."""
    times_s = [k / rate_hz for k in range(info.num_samples(rate_hz, max_s))]
    yield from _shown(path, info, times_s, width_px, height_px, thread_count)


def at(
    path: Path, info: VideoInfo, times_s: Sequence[float], width_px: int, height_px: int, thread_count: int
) -> np.ndarray:
    """As `hazardline.video.at`, with the pixels of `frames` of this module; torchcodec seeks itself."""
    check_times(path, info, times_s)
    order = np.argsort(times_s, kind="stable")
    result = np.empty((len(times_s), height_px, width_px, 3), np.uint8)
    shown = _shown(path, info, [times_s[row] for row in order], width_px, height_px, thread_count)
    for row, image in zip(order, shown, strict=True):
        result[row] = image
    return result


def _shown(
    path: Path, info: VideoInfo, times_s: Sequence[float], width_px: int, height_px: int, thread_count: int
) -> Iterator[np.ndarray]:
    """Pixels of what is on display at ascending times."""
    from torchcodec.decoders._video_decoder import VideoDecoder

    try:
        decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=thread_count)
        first_s = decoder.metadata.begin_stream_seconds or 0.0
        end_s = decoder.metadata.end_stream_seconds or 0.0
        num_frames = decoder.metadata.num_frames or 0
    except (RuntimeError, ValueError) as error:
        raise VideoError(path, "truncated", _text(error)) from None  # its header was fine
    check_decoded(path, info, num_frames, 0, end_s - first_s, "")
    check_px(path, num_frames * info.width_px * info.height_px, path.stat().st_size)
    last_s = decoder.get_frame_at(num_frames - 1).pts_seconds
    played_s = [min(first_s + time_s + CLOCK_TOLERANCE_S, last_s) for time_s in times_s]
    scaler = VideoReformatter()
    for start in range(0, len(played_s), _BATCH):
        try:
            batch = decoder.get_frames_played_at(played_s[start : start + _BATCH]).data.numpy()
        except (RuntimeError, ValueError, IndexError) as error:
            raise VideoError(path, "truncated", _text(error)) from None
        for image in batch:
            yield _resize(scaler, image, width_px, height_px)


def _resize(scaler: VideoReformatter, image: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    if image.shape[:2] == (height_px, width_px):
        return image
    frame = VideoFrame.from_ndarray(image, format="rgb24")
    resized = scaler.reformat(frame, width_px, height_px, "rgb24", interpolation=AREA, threads=1)
    return resized.to_ndarray()


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
