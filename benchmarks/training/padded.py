"""Step time and gradient against our own padded per-question mode, in one process, repeats interleaved."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.document import Row, row
from benchmarks.training.steps import encode_once_loss, packed_loss, padded_batch, padded_loss
from benchmarks.training.synthetic import Family, SyntheticClip, counted, pocket_branch, synthetic_clip
from hazardline.train.flops import flop_limit

GRID = tuple((tokens, count) for tokens in (256, 1024, 2048) for count in (1, 2, 5, 6))
REQUIRED = ((1024, 1), (1024, 5), (2048, 6))
_MAX_GRADIENT_ERROR = 1e-4


def padded_rows(family: Family, sizes: Sequence[tuple[int, int]], repeats: int) -> list[Row]:
    """A row a size: processor seconds of forward and backward pass of one step."""
    model = pocket_branch(family)
    suffix = "" if family == "qwen2_vl" else "_videollama3"
    rows = []
    for num_tokens, num_questions in sizes:
        clip = synthetic_clip(model, num_tokens, num_questions)
        error = gradient_error(model, clip)
        assert error < _MAX_GRADIENT_ERROR, f"{family}: the gradients differ by {error:.1e}; a speed would mean nothing"
        times = step_times(model, clip, repeats)
        count = counted(model, clip.row)
        limit = flop_limit(*count)
        speedup = median(times["padded"]) / median(times["packed"])
        rows.append(
            row(
                f"padded_k{num_questions}_p{num_tokens}{suffix}",
                median(times["packed"]),
                median(times["padded"]),
                "s",
                f"our own padded per-question mode, {family}, one step, pixels to gradient",
                gradient_relative_error=error,
                flop_limit=round(limit, 2),
                flop_limit_with_hidden_pairs=round(flop_limit(*count, skips_hidden_pairs=False), 2),
                fraction_of_limit=round(speedup / limit, 3),
                encode_once_ratio=round(median(times["padded"]) / median(times["encode_once"]), 3),
                seconds={name: [round(value, 4) for value in values] for name, values in times.items()},
            )
        )
        print(f"{rows[-1].case}: {rows[-1].ratio:.2f}x (limit {limit:.2f})", flush=True)
    return rows


def fraction_row(padded: Row) -> Row:
    """How much of the counted limit the step reaches, from the row of the padded comparison."""
    limit = padded.detail["flop_limit"]
    return row(
        padded.case.replace("padded", "flop_fraction"),
        padded.ratio / limit,
        1.0,
        "fraction",
        "achieved speed-up over the speed-up by counted FLOPs",
        speedup=padded.ratio,
        flop_limit=limit,
        flop_limit_with_hidden_pairs=padded.detail["flop_limit_with_hidden_pairs"],
    )


def step_times(model: Any, clip: SyntheticClip, repeats: int) -> dict[str, list[float]]:
    """Processor seconds of each way on its one thread, measured in turns.

    On a quiet machine they are those of the clock; on one that others use, a pause counts for nobody.
    """
    batch = padded_batch(model, clip)
    ways: dict[str, Callable[[], Tensor]] = {
        "padded": lambda: padded_loss(model, batch),
        "packed": lambda: packed_loss(model, clip.row),
        "encode_once": lambda: encode_once_loss(model, clip),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, loss in ways.items():
            model.zero_grad(set_to_none=True)
            start = time.process_time()
            loss().backward()
            if repeat:  # the first round warms up
                times[name].append(time.process_time() - start)
    return times


def gradient_error(model: Any, clip: SyntheticClip) -> float:
    """Relative difference of the two ways' gradients, all parameters as one vector."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, parameters)]).double()

    expected = gradient(padded_loss(model, padded_batch(model, clip)))
    return float((gradient(packed_loss(model, clip.row)) - expected).norm() / expected.norm())
