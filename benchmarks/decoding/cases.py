"""What `benchmarks.decode` decodes: clips, and the frames that are wanted of each."""

import itertools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from hazardline import video
from hazardline.video_file import CLOCK_TOLERANCE_S

WINDOW_S, COUNT = 30.0, 8
LONG_S, LONG_COUNT, LONG_RATE_HZ = 40.0, 96, 10.0
"""CrashChat's rule: resample to 10 Hz, take 96 evenly."""
AS_IT_IS, REPEATED = "as it is", "own packets, repeated to 30 s"


@dataclass(frozen=True)
class Case:
    """One clip and the frames wanted of it."""

    path: Path
    info: video.VideoInfo
    variant: str
    window_s: float
    times_s: list[float]
    """Seconds after the first frame of the wanted ones."""
    numbers: list[int]
    """Their numbers in the order of display."""
    num_frames: int
    """Frames in the window."""
    num_chain: int
    """Frames from the key frame before each wanted one up to it, each counted once: what cannot be left out where
    every frame is referred to."""
    num_keys: int

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the clip."""
        return self.info.width_px, self.info.height_px


def make_case(path: Path, variant: str, limit_s: float, count: int, rate_hz: float | None = None) -> Case:
    """Choose frames evenly, the first and the last of the window among them; at `rate_hz` if it is given."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    order = sorted(range(len(packets)), key=lambda place: packets[place].pts)
    first = packets[order[0]]
    shown_s = [float((packets[place].pts - first.pts) * first.time_base) for place in order]
    info = video.probe(path)
    window_s = min(limit_s, info.duration_s)
    num_frames = sum(time_s < window_s for time_s in shown_s)
    if rate_hz is None:
        numbers = [round(k) for k in np.linspace(0, num_frames - 1, count)]
        times_s = [shown_s[number] for number in numbers]
    else:
        grid = [k / rate_hz for k in range(int(window_s * rate_hz))]
        times_s = [grid[round(k)] for k in np.linspace(0, len(grid) - 1, count)]
        numbers = [bisect_right(shown_s, time_s + CLOCK_TOLERANCE_S) - 1 for time_s in times_s]
    chain: set[int] = set()
    for number in numbers:
        place = order[number]
        key = max(k for k in range(place + 1) if packets[k].is_keyframe)
        chain.update(range(key, place + 1))
    keys = sum(p.is_keyframe for p in packets[:num_frames])
    return Case(path, info, variant, window_s, times_s, numbers, num_frames, len(chain), keys)


def cases(media: Path | None, folder: Path) -> Iterator[Case]:
    """The clips as they are, repeated to 30 s without encoding them again, and encoded with other key frames."""
    sources = sorted(p for p in media.iterdir() if p.suffix in (".mp4", ".avi")) if media else [made_clip(folder)]
    for source in sources:
        yield make_case(source, AS_IT_IS, WINDOW_S, COUNT)
        if video.probe(source).duration_s < WINDOW_S:
            yield make_case(looped(source, folder, WINDOW_S), REPEATED, WINDOW_S, COUNT)
        for seconds in (None, 1):
            path = encoded(source, folder, seconds)
            name = f"x264, a key frame every {'250 frames' if seconds is None else 'second'}"
            yield make_case(path, name, WINDOW_S, COUNT)
    source = sources[-2] if len(sources) > 1 else sources[0]
    long = looped(source, folder, LONG_S)
    yield make_case(long, "CrashChat's 96 frames of 40 s", LONG_S, LONG_COUNT, LONG_RATE_HZ)


def made_clip(folder: Path) -> Path:
    """Ten seconds of a drifting noisy picture."""
    path = folder / "made.mp4"
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(30, 220, (12, 18, 3)), np.ones((30, 36, 1), np.int64))
    noisy = (np.roll(picture, k, axis=1) + rng.integers(-9, 9, picture.shape) for k in range(250))
    pictures = (av.VideoFrame.from_ndarray(np.clip(one, 0, 255).astype(np.uint8)) for one in noisy)
    write_h264(path, Fraction(25), pictures, 25)
    return path


def looped(source: Path, folder: Path, length_s: float) -> Path:
    """The packets of a clip again and again: the key frames and bits of its camera, but longer."""
    path = folder / f"{source.stem}_{length_s:.0f}s{source.suffix}"
    offset, shown_s = 0, 0.0
    with av.open(str(path), "w") as sink:
        stream = None
        while shown_s < length_s:
            with av.open(str(source)) as container:
                stream = stream or sink.add_stream_from_template(container.streams.video[0])
                packets = [p for p in container.demux(video=0) if p.size]
                for packet in packets:
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                shown_s += float(sum(p.duration for p in packets) * packets[0].time_base)
                offset += sum(p.duration for p in packets)
                for packet in packets:
                    packet.stream = stream
                sink.mux(packets)
    return path


def encoded(source: Path, folder: Path, key_s: int | None) -> Path:
    """30 s of a clip, repeated, by x264 at its defaults (B frames), with key frames every 250 frames or `key_s`."""
    path = folder / f"{source.stem}_{f'{key_s}s' if key_s else '250'}.mp4"
    info = video.probe(source)

    def pictures() -> Iterator[av.VideoFrame]:
        while True:
            with av.open(str(source)) as container:
                yield from container.decode(video=0)

    if not path.exists():
        rate = Fraction(info.fps).limit_denominator(1001)
        wanted = itertools.islice(pictures(), round(WINDOW_S * info.fps))
        write_h264(path, rate, wanted, round(key_s * info.fps) if key_s else 250)
    return path


def write_h264(path: Path, rate: Fraction, pictures: Iterator[av.VideoFrame], gop_size: int) -> None:
    """Encode at x264's defaults; a file is whole when it has its name."""
    partial = path.with_suffix(".partial.mp4")
    with av.open(str(partial), "w") as sink:
        stream = sink.add_stream("libx264", rate=rate, options={"preset": "medium", "crf": "23"})
        stream.pix_fmt, stream.gop_size = "yuv420p", gop_size
        for index, picture in enumerate(pictures):
            if index == 0:
                stream.width, stream.height = picture.width, picture.height
            frame = picture.reformat(format="yuv420p")
            frame.pts, frame.time_base, frame.pict_type = index, 1 / rate, 0
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    partial.rename(path)
