"""Frames at given times, by decoding no more than they need.

Decoding is taken up at the key frame before each, and of what lies between only what others refer to is decoded. What
is on display is defined by `hazardline.video_pyav`, which decodes everything; this module gives the same pixels. Where
a file leaves a doubt (no time stamps, damage, a key frame that is none), it says `Doubt`, and the definition is used.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from hazardline import video_pyav
from hazardline.video_file import CLOCK_TOLERANCE_S, check_times, opened
from hazardline.video_index import PacketIndex, entry_of, read_index

RESTARTING_CODECS = frozenset(
    "h264 hevc mpeg4 msmpeg4 mpeg2video mjpeg vp8 libvpx vp9 libvpx-vp9 av1 libdav1d ffv1 png".split()
)
"""Decoders that give the same pictures when they begin at a key frame; tests/test_video_seek.py holds them to it."""
SKIPPING_CODECS = frozenset(["h264"])
"""Decoders that may pass over a picture that no other refers to. The slices say so themselves (nal_ref_idc); the
container's word for it (`is_disposable`) is not needed, and some containers have none."""
SOUGHT_CONTAINERS = frozenset(["mov", "mp4", "matroska", "webm", "avi"])
"""Containers with an index. Of others (MPEG streams) packets are read and passed over, which is still far cheaper than
decoding them."""


class Doubt(Exception):
    """This file cannot be trusted to give the same pixels by seeking."""


def at(path: Path, times_s: Sequence[float], width_px: int, height_px: int, thread_count: int) -> np.ndarray:
    """As `hazardline.video.at`, for files that are not images."""
    try:
        with opened(path, thread_count) as (container, stream, info):
            check_times(path, info, times_s)
            index = read_index(path, container, stream, info)
            index.check(path, info)
            if info.codec not in RESTARTING_CODECS:
                raise Doubt(f"{info.codec} may need what stands before a key frame")
            return _Seeker(path, _Reader(container, stream, index), stream, index).show(times_s, width_px, height_px)
    except Doubt:
        return video_pyav.at(path, times_s, width_px, height_px, thread_count)


class _Reader:
    """Gives packets by their place in the index, by seeking or reading on; each is compared with its entry."""

    def __init__(self, container: InputContainer, stream: VideoStream, index: PacketIndex) -> None:
        """The container stands at its end."""
        self._container, self._stream, self._index = container, stream, index
        self._seeks = bool(SOUGHT_CONTAINERS.intersection(container.format.name.split(",")))
        self._next = len(index.entries)
        self._packets = container.demux(stream)
        self._kept: Packet[VideoStream] | None = None

    def read(self, place: int) -> "Packet[VideoStream]":
        """The packet at `place`; those before it are passed over."""
        while True:
            packet, self._kept = self._kept or self._demux(), None
            if entry_of(packet) != self._index.entries[self._next]:
                raise Doubt("another packet than at the first reading")
            self._next += 1
            if self._next > place:
                return packet

    def go_to(self, key: int) -> None:
        """Make ready to read the key frame at place `key`, which may lie behind or far ahead."""
        if key >= self._next and not self._seeks:
            return
        entries, dts = self._index.entries, self._index.dts[key]
        time = dts if dts is not None else entries[key].pts
        try:
            if self._seeks and time is not None:
                self._container.seek(time, stream=self._stream)
            else:
                self._container.seek(0, unsupported_byte_offset=True)
        except av.FFmpegError as error:
            raise Doubt(f"seeking failed: {error}") from None
        self._packets = self._container.demux(self._stream)
        self._kept = self._demux()
        found = entry_of(self._kept)
        self._next = next((place for place in range(key, -1, -1) if entries[place] == found), -1)
        if self._next < 0:
            raise Doubt("seeking did not lead to a packet at or before the key frame")

    def _demux(self) -> "Packet[VideoStream]":
        try:
            packet = next((packet for packet in self._packets if packet.size), None)
        except av.FFmpegError as error:
            raise Doubt(f"reading failed: {error}") from None
        if packet is None:
            raise Doubt("fewer packets than at the first reading")
        return packet


class _Seeker:
    """Decodes chosen pictures of one stream, in the order of the file."""

    def __init__(self, path: Path, reader: _Reader, stream: VideoStream, index: PacketIndex) -> None:
        """The reader's container stands at its end; nothing has been decoded."""
        self._path, self._reader, self._entries = path, reader, index.entries
        assert stream.time_base is not None
        self._base = stream.time_base
        self._decoder = stream.codec_context
        self._may_skip = self._decoder.name in SKIPPING_CODECS
        self._fed = 0
        """Place behind the last packet that the decoder was given, or could have been."""
        self._last_pts: int | None = None
        self._key_pts: int | None = None
        """Time of the key frame that decoding was taken up at, until it has come out."""

    def show(self, times_s: Sequence[float], width_px: int, height_px: int) -> np.ndarray:
        """What is on display at each time: uint8 (T, height_px, width_px, 3)."""
        frames = self._first_frames()
        places = self._on_display(times_s, self._pts(frames[0]))
        rows: dict[int, list[int]] = {}
        for row, place in enumerate(places):
            rows.setdefault(self._pts_at(place), []).append(row)
        result = np.empty((len(times_s), height_px, width_px, 3), np.uint8)
        scaler = VideoReformatter()
        for frame in itertools.chain(frames, self._decoded(sorted(set(places)))):
            for row in rows.pop(self._pts(frame), ()):
                result[row] = video_pyav.pixels(self._path, scaler, frame, width_px, height_px)
        if rows:
            raise Doubt(f"{len(rows)} pictures did not come out of the decoder")
        return result

    def _first_frames(self) -> list[VideoFrame]:
        """Decode from the beginning until something is shown: times are counted from there."""
        self._check_times()
        self._reader.go_to(0)
        frames: list[VideoFrame] = []
        while not frames and self._fed < len(self._entries):
            frames = self._feed(self._fed)
        frames = frames or self._drain()
        if not frames:
            raise Doubt("nothing decodes")
        return frames

    def _check_times(self) -> None:
        shown = [entry.pts for entry in self._entries if entry.is_shown]
        if not self._entries or not self._entries[0].is_key:
            raise Doubt("the file does not begin with a key frame")
        if any(entry.pts is None for entry in self._entries) or len(set(shown)) < len(shown):
            raise Doubt("packets without a time of their own")

    def _on_display(self, times_s: Sequence[float], first_pts: int) -> list[int]:
        """Places of the pictures on display, by the rule of `video_pyav`."""
        shown = [place for place, entry in enumerate(self._entries) if entry.is_shown]
        order = sorted((place for place in shown if self._pts_at(place) >= first_pts), key=self._pts_at)
        first_s = self._time_s(first_pts)
        starts_s = [self._time_s(self._pts_at(place)) - first_s - CLOCK_TOLERANCE_S for place in order]
        return [order[bisect_right(starts_s, time_s) - 1] for time_s in times_s]

    def _decoded(self, places: list[int]) -> Iterator[VideoFrame]:
        """Frames, among them those of the packets at `places` that the decoder still holds or was not given yet."""
        for place, key in zip(places, self._entries_to(places), strict=True):
            if key > self._fed:
                yield from self._drain()
                self._decoder.flush_buffers()
                self._reader.go_to(key)
                self._fed, self._last_pts, self._key_pts = key, None, self._pts_at(key)
            while self._fed <= place:
                yield from self._feed(self._fed, is_wanted=self._fed in (key, place))
        yield from self._drain()

    def _entries_to(self, places: list[int]) -> list[int]:
        """For each place the key frame at which decoding is taken up, early enough for the places behind it."""
        keys: list[int] = []
        for place in reversed(places):
            key = self._key_before(place)
            if keys and keys[-1] <= place:
                key = min(key, keys[-1])
            keys.append(key)
        return keys[::-1]

    def _key_before(self, place: int) -> int:
        """Where to take up decoding for `place`: what is shown before a key frame may refer to what is before it."""
        for key in range(place, 0, -1):
            entry = self._entries[key]
            if entry.is_key and entry.is_shown and self._pts_at(key) <= self._pts_at(place):
                return key
        return 0

    def _feed(self, place: int, is_wanted: bool = True) -> list[VideoFrame]:
        if self._may_skip:
            self._decoder.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        self._fed = place + 1
        return self._decode(self._reader.read(place))

    def _drain(self) -> list[VideoFrame]:
        frames = self._decode(None)
        if self._key_pts is not None:
            raise Doubt("a key frame did not come out of the decoder")
        return frames

    def _decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError as error:
            raise Doubt(f"a packet does not decode: {error}") from None
        for frame in frames:
            pts = self._pts(frame)
            if frame.is_corrupt or (self._last_pts is not None and pts <= self._last_pts):
                raise Doubt("a picture is damaged or out of order")
            if pts == self._key_pts:
                # Streams that are refreshed bit by bit call a picture a key frame that others depend on before it.
                if frame.pict_type != PictureType.I:
                    raise Doubt("a key frame is none")
                self._key_pts = None
            self._last_pts = pts
        return frames

    def _pts(self, frame: VideoFrame) -> int:
        if frame.pts is None:
            raise Doubt("a picture without a time")
        return frame.pts

    def _pts_at(self, place: int) -> int:
        pts = self._entries[place].pts
        assert pts is not None
        return pts

    def _time_s(self, pts: int) -> float:
        """As `VideoFrame.time` computes it, to the bit."""
        return float(pts) * self._base.numerator / self._base.denominator
