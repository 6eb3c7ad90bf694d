"""Near duplicates: how many planted copies are found, how many other clips are taken for copies, and what scale costs.

`python -m benchmarks.neighbours --media FOLDER` writes `benchmarks/results/neighbours.json`. Copies of every kind of
`benchmarks.planted.copies` are planted from simulated clips and from pieces of 5 s of the videos in a folder. Pieces of
one recording show the same place and share their recording, so a match among them is no false one; nor is one of a
crash with its near-miss twin. The peer is the method before: five pHashes at fixed shares of a clip.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.planted.copies import read_clip
from benchmarks.planted.measure import Base, Seen, by_kind, plant_all
from hazardline import video
from hazardline.files import write_json
from hazardline.progress import SilentReporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.stage import run
from hazardline.split.config import SplitConfig

PIECE_S = 5.0
MAX_WIDTH_PX = 480
"""Real clips are planted at this width: larger ones cost time and change nothing at the 144 pixels that are hashed."""


def simulated(folder: Path, config: SimulateConfig) -> list[Base]:
    """Base clips of a simulated data set."""
    run(config, {}, folder, SilentReporter())
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Base(row["clip_id"], row.get("pair_id") or row["clip_id"], partial(read_clip, folder / row["video"]))
        for row in rows
    ]


def recorded(folder: Path) -> list[Base]:
    """Pieces of the videos in a folder; what is shorter than a piece stays whole."""
    bases = []
    for path in sorted(folder.iterdir()):
        duration_s = video.probe(path).duration_s
        length_s = min(PIECE_S, duration_s)
        for k in range(max(1, int(duration_s // PIECE_S))):
            read = partial(read_clip, path, k * PIECE_S, length_s, MAX_WIDTH_PX)
            bases.append(Base(f"{path.stem}-{k}", path.stem, read))
    return bases


def planted(bases: list[Base]) -> dict[str, Any]:
    """Figures by kind."""
    limit = SplitConfig().near_duplicate_distance
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        seen: list[Seen] = plant_all(bases, Path(name))
        rows = by_kind(seen, Path(name), limit)
    origins = len({base.origin for base in bases})
    seconds = round(time.perf_counter() - start, 1)
    return {"bases": len(bases), "origins": origins, "files": len(seen), "seconds": seconds, "kinds": rows}


def scale(num_clips: int, content: str) -> dict[str, Any]:
    """One case of `benchmarks.planted.scale`, in fresh processes."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "benchmarks.planted.scale", str(num_clips), content, name]
        subprocess.run([*command, "write"], check=True)  # noqa: S603 - our own interpreter and code
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure, print, and write the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "neighbours.json")
    parser.add_argument("--media", type=Path, help="a folder of real videos; without it only simulated clips are used")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--normal", type=int, default=40)
    parser.add_argument("--clips", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--equal", type=int, nargs="*", default=[10_000, 100_000])
    arguments = parser.parse_args()
    config = SimulateConfig(num_pairs=arguments.pairs, num_normal=arguments.normal, seed=14)
    document: dict[str, Any] = {
        "benchmark": "neighbours",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load_before": [round(load, 2) for load in os.getloadavg()],
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "near_duplicate_distance": SplitConfig().near_duplicate_distance,
        "simulate": config.data(),
    }
    with tempfile.TemporaryDirectory() as name:
        document["simulated"] = planted(simulated(Path(name), config))
    if arguments.media is not None:
        document["recorded"] = planted(recorded(arguments.media))
    document["scale"] = [scale(num, "distinct") for num in arguments.clips]
    document["scale"] += [scale(num, "equal") for num in arguments.equal]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, document)
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
