"""What a million annotations cost: adapter, split and synthesis at 100,000 and at 1,000,000 rows, time and peak memory.

`python -m benchmarks.rows` writes `benchmarks/results/rows.json`. Each stage runs as users run it, in a process of its
own, on Nexar's challenge layout (`train.csv`). Only the videos are left out: there is no million of them, so that what
an inspection finds is made up from the row's number (no two clips look alike), and everything before and after an
inspection is the stage's own. The larger run must take at most 1.3 times the memory of the smaller, and 11 times its
time; processor time tells how far others on the machine have disturbed that.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.document import this_machine
from hazardline.documents import Document
from hazardline.files import write_json
from hazardline.progress import SilentReporter
from hazardline.split.config import SplitConfig
from hazardline.stages import stage_named
from hazardline.synthesize.config import SynthesizeConfig

RESULT = Path(__file__).parent / "results" / "rows.json"
STAGES = ("ingest", "split", "synthesize")
COSTS = ("wall_s", "cpu_s", "peak_mb")
MAX_MEMORY_RATIO = 1.3
MAX_TIME_RATIO = 11.0


def write_annotations(folder: Path, num_rows: int) -> None:
    """Nexar's challenge layout, half of it collisions."""
    folder.mkdir(parents=True)
    with (folder / "train.csv").open("w") as stream:
        stream.write("id,time_of_event,time_of_alert,target\n")
        for number in range(num_rows):
            times = f"{20 + number % 190 / 10:.1f},{18 + number % 190 / 10:.1f},1" if number % 2 else ",,0"
            stream.write(f"{number},{times}\n")


def without_videos() -> None:
    """Put made-up findings in the place of the inspection of videos that do not exist."""
    from hazardline.ingest import executors, place
    from hazardline.ingest.examine import Bench, Examined
    from hazardline.ingest.work import Pending

    def media(self: place.LocalPlace, relative: str, fps: float | None) -> place.Media:
        return place.Media("file", str(self.root / relative), "0")

    def examined(pending: Iterator[Pending], bench: Bench, **_: Any) -> Iterator[tuple[int, Examined]]:
        for item in pending:
            sha256 = hashlib.sha256(item.media.where.encode()).hexdigest()
            yield item.number, Examined(item.media.where, sha256, True, made_up_inspection(sha256))

    place.LocalPlace.media = media  # type: ignore[method-assign]
    executors.in_processes = examined


def made_up_inspection(sha256: str) -> Any:
    """A clip of 40 s that looks like no other."""
    from hazardline.ingest.features import ClipFeatures
    from hazardline.ingest.fingerprints import NUM_WORDS
    from hazardline.ingest.inspection import Inspection
    from hazardline.video import VideoInfo

    rng = np.random.default_rng(int(sha256[:16], 16))
    colour = rng.random(14).round(6).tolist()
    features = ClipFeatures(colour, colour, rng.random(4).round(6).tolist())
    info = VideoInfo("h264", 1280, 720, 30.0, 1200, 40.0)
    fingerprint = rng.integers(1, 1 << 64, (20, NUM_WORDS), np.uint64)  # of 8 s: that of 40 s has 6 kB a row
    return Inspection(int(sha256[:6], 16), info, fingerprint.astype("<u8").tobytes(), features)


def config_of(stage: str, annotations: Path) -> Document:
    """The stage's section."""
    if stage == "ingest":
        from hazardline.ingest.config import IngestConfig

        return IngestConfig(source="nexar", root=str(annotations), dataset="rows")
    return SplitConfig() if stage == "split" else SynthesizeConfig(prompt_version="crashchat-short@1")


def run_stage(stage: str, work: Path) -> None:
    """One stage in this process; prints what it took."""
    os.environ["HAZARDLINE_DATASETS"] = str(work / "datasets")
    if stage == "ingest":
        without_videos()
    function = stage_named(stage).run_function()
    out = work / stage
    out.mkdir()
    inputs = {name: work / name for name in STAGES[: STAGES.index(stage)]}
    begin = time.perf_counter()
    function(config_of(stage, work / "annotations"), inputs, out, SilentReporter())
    wall_s = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "wall_s": round(wall_s, 2),
                "cpu_s": round(used.ru_utime + used.ru_stime, 2),
                "peak_mb": round(used.ru_maxrss * 1024 / 1e6, 1),
            }
        )
    )


def measure(num_rows: int) -> dict[str, dict[str, float]]:
    """All stages, one after the other, each in a process of its own."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="rows-") as name:
        work = Path(name)
        write_annotations(work / "annotations", num_rows)
        for stage in STAGES:
            command = [sys.executable, "-m", "benchmarks.rows", "--stage", stage, "--work", str(work)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this file
            if done.returncode:
                raise SystemExit(f"{stage} at {num_rows} rows failed:\n{done.stderr}")
            found[stage] = json.loads(done.stdout.splitlines()[-1])
            cost = "{wall_s:>8.1f} s {cpu_s:>8.1f} s of processor {peak_mb:>8.0f} MB".format(**found[stage])
            print(f"{num_rows:>9} rows  {stage:<10} {cost}", flush=True)
    return found


def main() -> None:
    """Measure and write the result, or run one stage for a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=[100_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_stage(arguments.stage, arguments.work)
        return
    small, large = arguments.rows
    results = {small: measure(small), large: measure(large)}
    ratios = {
        stage: {key: round(results[large][stage][key] / results[small][stage][key], 3) for key in COSTS}
        for stage in STAGES
    }
    whole = {
        rows: {
            "wall_s": sum(cost["wall_s"] for cost in found.values()),
            "cpu_s": sum(cost["cpu_s"] for cost in found.values()),
            "peak_mb": max(cost["peak_mb"] for cost in found.values()),
        }
        for rows, found in results.items()
    }
    document = {
        "machine": this_machine().data(),
        "rows": {str(rows): found for rows, found in results.items()},
        "ratios": ratios,
        "ratios_of_all": {key: round(whole[large][key] / whole[small][key], 3) for key in COSTS},
        "limits": {"wall_s": MAX_TIME_RATIO * large / small / 10, "peak_mb": MAX_MEMORY_RATIO},
    }
    write_json(arguments.out, document)
    print("{wall_s}x the time, {cpu_s}x the processor time, {peak_mb}x the memory".format(**document["ratios_of_all"]))
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
