"""How fast a few frames of a clip are decoded on this machine, beside decoding all of it and beside other libraries.

Run on a quiet machine: `python benchmarks/decode.py --media FOLDER` writes `benchmarks/results/decode.json`; without a
folder of real clips a made one is measured. Everything has one thread. The ways take turns; a row has medians, and
ratios are of processor time, which others on the machine disturb less. Peers are used where they can be imported:
`pip install --target .bench/decode-peers --no-deps -r benchmarks/decode_requirements.txt`.
"""

import argparse
import importlib.util
import itertools
import json
import os
import platform
import statistics
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from hazardline import video
from hazardline.files import write_json
from hazardline.video_file import CLOCK_TOLERANCE_S

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / ".bench" / "decode"
PEERS = ROOT / ".bench" / "decode-peers"
WINDOW_S, COUNT = 30.0, 8
LONG_S, LONG_COUNT, LONG_RATE_HZ = 40.0, 96, 10.0
"""CrashChat's rule: resample to 10 Hz, take 96 evenly."""
MODEL_SIZE = (144, 96)
AS_IT_IS, REPEATED = "as it is", "own packets, repeated to 30 s"
CAMERAS = "8 frames of 30 s, cameras' own packets"

Frames = npt.NDArray[np.uint8]


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


Way = Callable[[Case], Frames | None]
"""Decodes a case: the wanted frames at their full size, or None where others were decoded."""


def whole(size: tuple[int, int] | None) -> Way:
    """All frames of the window as RGB, one after the other."""

    def decode(case: Case) -> None:
        max_s = None if case.window_s >= case.info.duration_s else case.window_s
        for _ in video.frames(case.path, case.info.fps, *(size or case.size_px), max_s):
            pass

    return decode


def sought(size: tuple[int, int] | None) -> Way:
    """`video.at`."""

    def decode(case: Case) -> Frames | None:
        found = video.at(case.path, case.times_s, *(size or case.size_px))
        return None if size else found

    return decode


def picked_by_pyav(case: Case) -> Frames:
    """What a loop over PyAV's frames does: decode up to the last wanted one, convert those that are wanted."""
    chosen, last = set(case.numbers), max(case.numbers)
    found = {}
    with av.open(str(case.path)) as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in chosen:
                found[number] = frame.to_ndarray(format="rgb24")
            if number == last:
                break
    return np.stack([found[number] for number in case.numbers])


def by_decord(case: Case) -> Frames:
    """Decord's `get_batch`."""
    from decord import VideoReader, cpu

    found: Frames = VideoReader(str(case.path), ctx=cpu(0), num_threads=1).get_batch(case.numbers).asnumpy()
    return found


def by_torchcodec(seek_mode: str) -> Way:
    """Torchcodec's `get_frames_at`."""

    def decode(case: Case) -> Frames:
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(str(case.path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=seek_mode)
        found: Frames = decoder.get_frames_at(case.numbers).data.numpy()
        return found

    return decode


WAYS: dict[str, Way] = {
    "whole, full size": whole(None),
    "whole, model size": whole(MODEL_SIZE),
    "video.at, full size": sought(None),
    "video.at, model size": sought(MODEL_SIZE),
    "PyAV, decode and pick": picked_by_pyav,
    "decord": by_decord,
    "torchcodec, exact": by_torchcodec("exact"),
    "torchcodec, approximate": by_torchcodec("approximate"),
}


def absent(name: str) -> str | None:
    """Why a way cannot be taken here, or None."""
    package = name.partition(",")[0]
    if package in ("decord", "torchcodec") and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return None


def measure(case: Case, num_rounds: int) -> dict[str, Any]:
    """Take all ways in turns, and compare what they show."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    rows: dict[str, dict[str, Any]] = {name: {"absent": why} for name in WAYS if (why := absent(name))}
    shown: dict[str, Frames] = {}
    for turn in range(num_rounds + 1):
        for name, way in WAYS.items():
            if name in rows:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                found = way(case)
            except (
                RuntimeError,
                ValueError,
                IndexError,
            ) as error:  # a peer that cannot read this clip: its row says so
                rows[name] = {"failed": " ".join(str(error).split())[:200]}
                continue
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn:  # the first is for the file cache and imports
                seconds.setdefault(name, []).append((cpu, wall))
            elif found is not None:
                shown[name] = found
    judge = neighbours(case)
    for name, taken in seconds.items():
        cpu_ms, wall_ms = (round(1000 * statistics.median(column), 1) for column in zip(*taken, strict=True))
        rows[name] = {"cpu_ms": cpu_ms, "wall_ms": wall_ms}
        if name in shown:
            rows[name] |= judge(shown[name])
    return {name: rows[name] for name in WAYS}


def neighbours(case: Case) -> Callable[[Frames], dict[str, Any]]:
    """A judge of whether frames are those of the whole decode: colours of peers differ, their frames must not."""
    judged = sorted({round(row) for row in np.linspace(0, len(case.numbers) - 1, COUNT)})
    around = {case.numbers[row] + step for row in judged for step in (-1, 0, 1)}
    exact: dict[int, Frames] = {}
    with av.open(str(case.path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in around:
                exact[number] = frame.to_ndarray(format="rgb24")
            if number > max(around):
                break

    def judge(found: Frames) -> dict[str, Any]:
        wrong, largest = [], 0.0
        for row in judged:
            number = case.numbers[row]
            difference = {
                k: float(np.abs(exact[k].astype(np.int16) - found[row]).mean())
                for k in (number, number - 1, number + 1)
                if k in exact
            }
            largest = max(largest, difference[number])
            if min(difference, key=lambda k: difference[k]) != number:
                wrong.append(number)
        return {"wrong_frames": wrong, "mean_difference": round(largest, 3)}

    return judge


def row_of(case: Case, num_rounds: int) -> dict[str, Any]:
    """One clip in all ways."""
    ways = measure(case, num_rounds)

    def ratio(slow: str, fast: str) -> float | None:
        if not {"cpu_ms"} <= ways[slow].keys() & ways[fast].keys():
            return None
        return round(ways[slow]["cpu_ms"] / ways[fast]["cpu_ms"], 2)

    return {
        "clip": case.path.stem,
        "variant": case.variant,
        "codec": case.info.codec,
        "size_px": list(case.size_px),
        "fps": round(case.info.fps, 3),
        "window_s": round(case.window_s, 2),
        "frames_in_window": case.num_frames,
        "key_frames_in_window": case.num_keys,
        "frames_wanted": len(set(case.numbers)),
        "frames_from_key_frames_on": case.num_chain,
        "ways": ways,
        "times_faster_than": {
            "whole, full size": ratio("whole, full size", "video.at, full size"),
            "whole, model size": ratio("whole, model size", "video.at, model size"),
            **{name: ratio(name, "video.at, full size") for name in list(WAYS)[4:]},
        },
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Geometric means of the ratios, by variant and over the cameras' own packets where they last 30 s."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["variant"], []).append(row)
        if row["variant"] == REPEATED or (row["variant"] == AS_IT_IS and row["window_s"] >= WINDOW_S):
            groups.setdefault(CAMERAS, []).append(row)
    found = {}
    for name, members in groups.items():
        columns = {key: [row["times_faster_than"][key] for row in members] for key in members[0]["times_faster_than"]}
        found[name] = {
            key: round(statistics.geometric_mean(values), 2) if None not in values else None
            for key, values in columns.items()
        }
    return found


def with_libraries() -> None:
    """Begin again with FFmpeg's libraries for torchcodec: the machine's, or those that PyAV carries, and the peers."""
    if "HAZARDLINE_BENCH_LIBRARIES" in os.environ:
        return
    folder = CLIPS / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    for file in metadata.files("av") or []:
        name = Path(str(file)).name
        if name.startswith(("libav", "libsw")) and ".so." in name:
            stem, _, version = name.partition(".so.")
            link = folder / f"{stem.rsplit('-', 1)[0]}.so.{version.split('.')[0]}"
            link.unlink(missing_ok=True)
            link.symlink_to(str(file.locate()))
    paths = {
        "PYTHONPATH": [str(PEERS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)],
        "LD_LIBRARY_PATH": [*os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), str(folder)],
    }
    joined = {name: os.pathsep.join(part for part in parts if part) for name, parts in paths.items()}
    environment = {**os.environ, **joined, "HAZARDLINE_BENCH_LIBRARIES": "set", "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - our own interpreter


def version_of(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Measure, print, and write the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decode.json")
    parser.add_argument("--media", type=Path, help="folder of real clips (.mp4, .avi)")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with_libraries()
    video.use_pyav("ours is measured on this path; torchcodec stands beside it")
    CLIPS.mkdir(parents=True, exist_ok=True)
    load = [round(one, 2) for one in os.getloadavg()]
    rows = []
    for case in cases(arguments.media, CLIPS):
        rows.append(row_of(case, arguments.rounds))
        print(rows[-1]["clip"], "|", case.variant, "|", json.dumps(rows[-1]["times_faster_than"]), flush=True)
    document = {
        "benchmark": "decode",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": 1,
            "load_before": load,
            "load_after": [round(one, 2) for one in os.getloadavg()],
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "versions": {name: version_of(name) for name in ("av", "decord", "torchcodec", "torch", "numpy")},
        "rounds": arguments.rounds,
        "geometric_mean_times_faster": summary(rows),
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, document)
    print(json.dumps(document["geometric_mean_times_faster"], indent=2))


if __name__ == "__main__":
    main()
