"""Peak memory of one step: how far the resident size grows beyond the loaded model, in a fresh process for each way.

`python -m benchmarks.training.memory WAY FAMILY TOKENS QUESTIONS` prints MiB; the parent runs it once a way.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import torch

from benchmarks.training.document import ROOT, Row, row
from benchmarks.training.steps import encode_once_loss, packed_loss, padded_batch, padded_loss
from benchmarks.training.synthetic import Family, pocket_branch, synthetic_clip

Way = Literal["padded", "packed", "encode_once"]
SIZES = ((1024, 5), (2048, 6))
_KIB_PER_MIB = 1024


def memory_row(family: Family, num_tokens: int, num_questions: int) -> Row:
    """Peak growth of both ways."""
    mib = {way: _in_fresh_process(way, family, num_tokens, num_questions) for way in get_args(Way)}
    suffix = "" if family == "qwen2_vl" else "_videollama3"
    return row(
        f"memory_k{num_questions}_p{num_tokens}{suffix}",
        mib["packed"],
        mib["padded"],
        "MiB",
        f"peak growth of the resident size in one step, {family}, against our own padded per-question mode",
        encode_once_mib=mib["encode_once"],
    )


def _in_fresh_process(way: Way, family: Family, num_tokens: int, num_questions: int) -> float:
    command = [sys.executable, "-W", "ignore", "-m", __name__, way, family, str(num_tokens), str(num_questions)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    return float(done.stdout.split()[-1])


def step_growth_mib(way: Way, family: Family, num_tokens: int, num_questions: int) -> float:
    """Peak resident size during the step, less the size before it (Linux: the peak is reset through clear_refs)."""
    torch.set_num_threads(1)
    model = pocket_branch(family)
    small = synthetic_clip(model, 64, 1)
    for loss in (padded_loss(model, padded_batch(model, small)), encode_once_loss(model, small)):
        loss.backward()  # what a first step allocates once and for all
    model.zero_grad(set_to_none=True)
    clip = synthetic_clip(model, num_tokens, num_questions)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kib("VmRSS")
    if way == "padded":
        padded_loss(model, padded_batch(model, clip)).backward()  # the batch's k copies of the pixels are part of it
    elif way == "packed":
        packed_loss(model, clip.row).backward()
    else:
        encode_once_loss(model, clip).backward()
    return (_status_kib("VmHWM") - before) / _KIB_PER_MIB


def _status_kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    _way, _family, _tokens, _questions = sys.argv[1:]
    print(step_growth_mib(_way, _family, int(_tokens), int(_questions)))  # type: ignore[arg-type]
