"""`python -m benchmarks.training`: measure, write `benchmarks/results/training.json` and one page of plots.

All groups take about an hour and a half on two quiet cores, and the first run installs two peers (15 GB). A group
can be measured alone (`--only padded memory`); cases that are not measured keep their rows.
"""

import argparse
import os
import warnings
from collections.abc import Callable

from benchmarks.training.environment import ONE_THREAD

os.environ.update(ONE_THREAD)  # before torch is imported

import torch

from benchmarks.training import end_to_end, evaluate, memory, padded, quality
from benchmarks.training.document import RESULTS, Row, record
from benchmarks.training.plots import write_page

_REPEATS = 3
_PEER_CLIPS = 8


def _padded() -> list[Row]:
    rows = padded.padded_rows("qwen2_vl", padded.REQUIRED, _REPEATS)
    rows += padded.padded_rows("video_llama_3", padded.REQUIRED, _REPEATS)
    return rows + [padded.fraction_row(row) for row in rows if "_k1_" not in row.case]


def _memory() -> list[Row]:
    return [memory.memory_row(family, *size) for family in ("qwen2_vl", "video_llama_3") for size in memory.SIZES]


def _evaluate() -> list[Row]:
    return [evaluate.evaluate_row(family, 1024, 6, _REPEATS) for family in ("qwen2_vl", "video_llama_3")]


def _grid() -> list[Row]:
    sizes = [size for size in padded.GRID if size not in padded.REQUIRED]
    rows = padded.padded_rows("qwen2_vl", sizes, _REPEATS)
    return rows + padded.padded_rows("video_llama_3", sizes, _REPEATS)


def _peer(name: str, *question_counts: int) -> Callable[[], list[Row]]:
    return lambda: [end_to_end.peer_row(name, 1024, count, _PEER_CLIPS) for count in question_counts]


GROUPS: dict[str, Callable[[], list[Row]]] = {
    "padded": _padded,
    "memory": _memory,
    "evaluate": _evaluate,
    "llamafactory": _peer("llamafactory", 5, 1),
    "llamafactory_frames": _peer("llamafactory_frames", 5),
    "msswift": _peer("msswift_packing", 5, 1),
    "trainer": _peer("hf_trainer_videollama3", 5, 1),
    "grid": _grid,
    "quality": lambda: [quality.quality_row()],
}


def main() -> None:
    """Measure the wanted groups, one after another, and record each as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--plots", action="store_true", help="only draw the page anew")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    torch.set_num_threads(1)
    for name in [] if arguments.plots else arguments.only:
        print(f"== {name}", flush=True)
        for row in record(GROUPS[name]()).rows:
            print(f"{row.case:40} {row.ours:>10.4g} {row.peer:>10.4g} {row.unit:8} {row.ratio:6.2f}x", flush=True)
    write_page(RESULTS, RESULTS.with_suffix(".html"))


if __name__ == "__main__":
    main()
