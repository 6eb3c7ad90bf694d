"""What a video file promises, and whether it can be trusted: opening, limits, faults.

Files come from outside: only plain files in a few container formats are opened, nothing is fetched over a
network, and dimensions, durations and frame counts have limits.
"""

import itertools
import math
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from hazardline.errors import UserError

VideoReason = Literal[
    "missing_file",
    "unreadable",
    "truncated",
    "no_video_stream",
    "zero_duration",
    "inconsistent_duration",
]

MAX_SIDE_PX = 4096
MAX_DURATION_S = 3600.0
MAX_FRAMES = 250_000
MAX_TOTAL_PX = 200_000_000_000
"""Pixels of all frames of a file together (800 s of 4K at 30 Hz); more would take many minutes to decode."""
FREE_PX = 2_000_000_000
"""Pixels that a file may have however small it is (32 s of 1080p at 30 Hz): a few seconds of decoding."""
MAX_PX_PER_BYTE = 10_000
"""Pixels beyond `FREE_PX` for each encoded byte. A file of a few megabytes could else take minutes to decode.

Measured: real clips 45; one picture of a real clip, repeated, 400, and 7,000 at the lowest quality that shows anything;
blank pictures at 4096x4096, which a stranger would send, 15,000 (a key frame in ten) to 400,000.
"""
CONTAINER_FORMATS = ("mov", "mp4", "avi", "matroska", "webm", "mpegts", "mpeg")
"""Containers that are opened. Playlists and image patterns, which can name other files, are not."""

CLOCK_TOLERANCE_S = 1e-3
"""A frame counts as on display this much before its time stamp: Matroska rounds those to milliseconds."""
LOST_FRAMES_SHARE = 0.02
LOST_FRAMES = 2
"""A file is truncated when more than 2 frames and more than 2 % of the promised frames do not decode."""
DURATION_SHARE = 0.1
DURATION_S = 0.5
"""Decoded and promised duration may differ by half a second or 10 %, whichever is more."""


class VideoError(UserError):
    """A video file cannot be used: `reason` is a fixed word, `detail` what was found."""

    def __init__(self, path: Path, reason: VideoReason, detail: str) -> None:
        """Keep the parts; the message names the file."""
        super().__init__(f"{path}: {detail} ({reason}); give a whole video file that FFmpeg can decode")
        self.path, self.reason, self.detail = path, reason, detail

    def __reduce__(self) -> tuple[type["VideoError"], tuple[Path, VideoReason, str]]:
        """Let it travel between processes."""
        return VideoError, (self.path, self.reason, self.detail)


@dataclass(frozen=True)
class VideoInfo:
    """What a file promises about its first video stream, before anything is decoded."""

    codec: str
    width_px: int
    height_px: int
    fps: float
    """Mean frames per second."""
    num_frames: int
    """From the container's count where it keeps one, else duration times rate, rounded."""
    duration_s: float
    counts_frames: bool = True
    """Whether `num_frames` is the container's own count."""

    def num_samples(self, rate_hz: float, max_s: float | None = None) -> int:
        """How many frames `decode` returns: floor(duration * rate), at least 1."""
        duration_s = self.duration_s if max_s is None else min(self.duration_s, max_s)
        return max(1, math.floor((duration_s + CLOCK_TOLERANCE_S) * rate_hz))


def probe(path: Path) -> VideoInfo:
    """Codec, size, rate and length of a file's first video stream, from its header.

    Where the header has no duration, the file is read and its packets are counted.

    Raises:
        VideoError: the file is missing, no video of a known container, without a video stream, without
            duration, or beyond the limits of this module.
    """
    with opened(path, 1) as (_, _, info):
        return info


@contextmanager
def opened(path: Path, thread_count: int) -> Iterator[tuple[InputContainer, VideoStream, VideoInfo]]:
    _check_is_plain_file(path)
    options = {"format_whitelist": ",".join(CONTAINER_FORMATS), "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.absolute()), mode="r", options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        reason: VideoReason = "truncated" if _is_cut_mp4(path) else "unreadable"
        raise VideoError(path, reason, f"not readable as a video: {error_text(error)}") from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "none"
            raise VideoError(path, "no_video_stream", f"no video stream (streams: {kinds})")
        stream = streams[0]
        info = _info(path, container, stream)
        stream.codec_context.options = {"max_pixels": str(MAX_SIDE_PX * MAX_SIDE_PX)}
        stream.thread_count = thread_count
        if thread_count > 1:
            stream.thread_type = "AUTO"
        yield container, stream, info


def _check_is_plain_file(path: Path) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise VideoError(path, "missing_file", f"no such file ({error_text(error)})") from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(path, "unreadable", "not a plain file")
    if status.st_size == 0:
        raise VideoError(path, "unreadable", "the file is empty")


def error_text(error: Exception) -> str:
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:200]


def _is_cut_mp4(path: Path) -> bool:
    """Whether a file begins as MP4, and a box runs over its end or the index (`moov`) never comes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        offset, kinds = 0, set()
        for _ in range(1000):
            stream.seek(offset)
            head = stream.read(16)
            if len(head) < 8:
                break
            length, kind = int.from_bytes(head[:4]), head[4:8]
            if offset == 0 and kind != b"ftyp":
                return False
            kinds.add(kind)
            length = int.from_bytes(head[8:16]) if length == 1 else length or size - offset
            if length < 8 or offset + length > size:
                return length >= 8
            offset += length
    return b"ftyp" in kinds and b"moov" not in kinds


def _info(path: Path, container: InputContainer, stream: VideoStream) -> VideoInfo:
    codec = stream.codec_context
    if codec is None:  # PyAV's types do not say so: FFmpeg has no decoder for it
        raise VideoError(path, "unreadable", "the codec of the video stream is not known")
    if not (codec.width > 0 and codec.height > 0):
        raise VideoError(path, "unreadable", "the video stream has no frame size")
    if max(codec.width, codec.height) > MAX_SIDE_PX:
        raise VideoError(path, "unreadable", f"{codec.width}x{codec.height} is over the limit of {MAX_SIDE_PX} a side")
    num_frames, duration_s = stream.frames, 0.0
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        # Matroska's duration counts from zero, not from the first frame.
        start_s = float((stream.start_time or 0) * (stream.time_base or 0))
        duration_s = container.duration / av.time_base - start_s
    counts = num_frames > 0
    rate = stream.average_rate or stream.guessed_rate
    if duration_s <= 0:
        num_frames, duration_s = _count_packets(path, container, stream, float(rate or 0))
        counts = num_frames > 0
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise VideoError(path, "zero_duration", "the video stream has no duration")
    num_frames = num_frames or round(duration_s * float(rate or 0))
    if num_frames <= 0:
        raise VideoError(path, "zero_duration", f"no frames in {duration_s:.3f} s")
    fps = float(rate) if rate else num_frames / duration_s
    if duration_s > MAX_DURATION_S or num_frames > MAX_FRAMES or num_frames * codec.width * codec.height > MAX_TOTAL_PX:
        raise VideoError(
            path,
            "unreadable",
            f"{num_frames} frames of {codec.width}x{codec.height} in {duration_s:.1f} s are over the limits "
            f"({MAX_FRAMES} frames, {MAX_DURATION_S:.0f} s, {MAX_TOTAL_PX:.0e} pixels in all)",
        )
    check_px(path, num_frames * codec.width * codec.height, path.stat().st_size)
    return VideoInfo(codec.name, codec.width, codec.height, fps, num_frames, duration_s, counts)


def _count_packets(path: Path, container: InputContainer, stream: VideoStream, rate: float) -> tuple[int, float]:
    """Number of packets and the time they span in seconds; the file is read, not decoded."""
    count, first, last = 0, math.inf, -math.inf
    try:
        for packet in itertools.islice(container.demux(stream), MAX_FRAMES + 1):
            if packet.size and packet.pts is not None and stream.time_base:
                count += 1
                time_s = float(packet.pts * stream.time_base)
                first, last = min(first, time_s), max(last, time_s)
        container.seek(0)
    except av.FFmpegError as error:
        raise VideoError(path, "unreadable", f"no duration, and not readable to its end: {error_text(error)}") from None
    step = 1 / rate if rate else (last - first) / (count - 1) if count > 1 else 0.0
    return count, last - first + step if count else 0.0


def check_px(path: Path, num_px: int, num_bytes: int) -> None:
    """Refuse more pixels than so few encoded bytes may become.

    Raises:
        VideoError: `unreadable`.
    """
    limit = min(MAX_TOTAL_PX, FREE_PX + MAX_PX_PER_BYTE * num_bytes)
    if num_px > limit:
        detail = f"{num_px:.2e} pixels in {num_bytes} bytes of pictures are over the limit of {limit:.2e}"
        raise VideoError(path, "unreadable", detail)


def check_times(path: Path, info: VideoInfo, times_s: Sequence[float]) -> None:
    """Refuse times that no clip has, or that lie behind the end of this one by more than the tolerance.

    Raises:
        UserError: one does.
    """
    latest_s = info.duration_s + duration_slack_s(info)
    wrong = [time_s for time_s in times_s if not 0 <= time_s <= latest_s]
    if wrong:
        raise UserError(
            f"{path}: no frame at {wrong[0]:.3f} s, the clip lasts {info.duration_s:.3f} s; ask for seconds after its "
            "first frame"
        )


def duration_slack_s(info: VideoInfo) -> float:
    return max(DURATION_S, DURATION_SHARE * info.duration_s)


def check_decoded(path: Path, info: VideoInfo, whole: int, damaged: int, end_s: float, fault: str) -> None:
    """Compare what decoded with what the file promised (the tolerances stand at the head of this module).

    Raises:
        VideoError: `truncated` or `inconsistent_duration`.
    """
    tail = f"; first fault: {fault}" if fault else ""
    if whole + damaged == 0:
        raise VideoError(path, "truncated", f"none of {info.num_frames} frames decodes{tail}")
    lost = info.num_frames - whole
    if info.counts_frames and lost > max(LOST_FRAMES, LOST_FRAMES_SHARE * info.num_frames):
        raise VideoError(path, "truncated", f"{whole} of {info.num_frames} promised frames decode whole{tail}")
    if damaged > max(LOST_FRAMES, LOST_FRAMES_SHARE * info.num_frames):
        raise VideoError(path, "truncated", f"{damaged} of {whole + damaged} frames are damaged{tail}")
    if abs(end_s - info.duration_s) > duration_slack_s(info):
        reason: VideoReason = (
            "truncated" if end_s < info.duration_s and not info.counts_frames else "inconsistent_duration"
        )
        raise VideoError(path, reason, f"{end_s:.2f} s decode, {info.duration_s:.2f} s are promised{tail}")
