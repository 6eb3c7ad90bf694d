"""How long each way takes, whether it shows the right frames, and the ratios of `benchmarks/results/decode.json`."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np

from benchmarks.decoding.cases import AS_IT_IS, COUNT, REPEATED, WINDOW_S, Case
from benchmarks.decoding.ways import WAYS, Frames, absent

CAMERAS = "8 frames of 30 s, cameras' own packets"


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
