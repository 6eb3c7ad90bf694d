"""A file's packets, listed by reading it without decoding: order, times, key frames, and what they promise."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hazardline.video_file import (
    LOST_FRAMES,
    LOST_FRAMES_SHARE,
    MAX_FRAMES,
    VideoError,
    VideoInfo,
    check_decoded,
    duration_slack_s,
    error_text,
    opened,
)


class Entry(NamedTuple):
    """What tells one packet from the others. The time is in the stream's time base."""

    pts: int | None
    pos: int | None
    size: int
    is_key: bool
    is_shown: bool
    """False for what an edit list cuts off: it is decoded for others' sake."""


def entry_of(packet: "Packet[VideoStream]") -> Entry:
    return Entry(packet.pts, packet.pos, packet.size, packet.is_keyframe, not packet.is_discard)


@dataclass(frozen=True)
class PacketIndex:
    """The packets of one stream in the order of the file, which is the order of decoding."""

    entries: list[Entry]
    dts: list[int | None]
    span_s: float
    """From the first picture shown to the end of the last; 0 where no packet has a time."""
    num_corrupt: int
    """Packets that the container knows to be damaged."""
    num_backward: int
    """Packets that are to be decoded before one that stands ahead of them."""
    fault: str
    """Why reading ended early, if it did."""

    def check(self, path: Path, info: VideoInfo) -> None:
        """Compare the packets with what the file promised, as `hazardline.video.frames` compares frames.

        Raises:
            VideoError: `truncated` or `inconsistent_duration`.
        """
        shown = sum(entry.is_shown for entry in self.entries)
        if not any(entry.is_key for entry in self.entries):
            detail = f"no key frame among {len(self.entries)} packets, so nothing decodes"
            raise VideoError(path, "truncated", detail + (f"; first fault: {self.fault}" if self.fault else ""))
        end_s = self.span_s if any(entry.pts is not None for entry in self.entries) else shown / info.fps
        check_decoded(path, info, max(0, shown - self.num_corrupt), self.num_corrupt, end_s, self.fault)


def read_index(path: Path, container: InputContainer, stream: VideoStream, info: VideoInfo) -> PacketIndex:
    """Read all packets of the stream from where the container stands; nothing is decoded.

    Raises:
        VideoError: there are more than `MAX_FRAMES` packets.
    """
    entries: list[Entry] = []
    times: list[int | None] = []
    corrupt, backward, fault = 0, 0, ""
    latest_dts: int | None = None
    first: int | None = None
    end = -(1 << 62)
    base = stream.time_base
    assert base is not None
    step = round(1 / info.fps / base)
    limit = round((info.duration_s + duration_slack_s(info)) / base)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            fault = error_text(error)
            break
        if packet is None:
            break
        if not packet.size:
            continue  # the demuxer's sign to flush the decoder
        entry, dts = entry_of(packet), packet.dts
        entries.append(entry)
        times.append(dts)
        corrupt += packet.is_corrupt
        if dts is not None:
            backward += latest_dts is not None and dts < latest_dts
            latest_dts = dts if latest_dts is None else max(latest_dts, dts)
        if entry.pts is not None and entry.is_shown:
            first = entry.pts if first is None else min(first, entry.pts)
            end = max(end, entry.pts + (packet.duration or step))
            if entry.pts - first > limit:
                break  # far behind the promised end; the span says so
        if len(entries) > MAX_FRAMES:
            detail = f"more than {MAX_FRAMES} packets, {info.num_frames} frames are promised"
            raise VideoError(path, "inconsistent_duration", detail)
    span_s = float((end - first) * base) if first is not None else 0.0
    return PacketIndex(entries, times, span_s, corrupt, backward, fault)


def check_packets(path: Path) -> VideoInfo:
    """Whether a file holds what it promises, by reading its packets: tens of times faster than decoding.

    Missing frames, a wrong duration, time stamps that run backwards and the lack of any key frame are found; damage
    inside a packet is not.

    Raises:
        VideoError: as `hazardline.video_file.probe`, `truncated` and `inconsistent_duration` as
            `hazardline.video.frames`, and `inconsistent_duration` for times that run backwards.
    """
    with opened(path, 1) as (container, stream, info):
        index = read_index(path, container, stream, info)
        index.check(path, info)
        if index.num_backward > max(LOST_FRAMES, LOST_FRAMES_SHARE * len(index.entries)):
            detail = f"time runs backwards at {index.num_backward} of {len(index.entries)} packets"
            raise VideoError(path, "inconsistent_duration", detail)
        return info
