"""Two workers of one training, as processes: `python -m tests.train.two_workers RANK FOLDER`.

The first worker writes what it found into FOLDER/found.json: for every family and every way to divide the work, the
gradient of one step over clips with unequal numbers of questions, and the losses of a run that is saved and loaded.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from hazardline.train.build import make_learner
from hazardline.train.config import TrainConfig
from hazardline.train.prefix import ClipRow
from hazardline.train.step import Objective, Passes, PassLoss, optimizer_step
from hazardline.train.updater import Replicas, trainable
from hazardline.train.zero import Zero, zero_settings
from hazardline.vlm.layout import Layout
from tests.vlm.small import Scene, small_branch, small_scene

FAMILIES = ("video_llama_3", "qwen2_vl")
WAYS = ("replicas", "zero1", "zero2", "zero3")
LAYOUT = Layout(width_px=96, height_px=48, patch_px=12, merge=2)
LENGTHS = [[(3, 1), (9, 14), (5, 4), (2, 7)], [(2, 3)], [(1, 2), (6, 1)]]
OBJECTIVE = Objective("turns", "fp32", 0.0, None)
NUM_STEPS = 4
RATE = 8.0
"""Of plain gradient descent: so large that the change of a weight shows its gradient to the last digits."""


def sum_over_workers(tensor: Tensor) -> None:
    """All-reduce."""
    torch.distributed.all_reduce(tensor)


def scenes_of(model: Any) -> list[Scene]:
    """Three clips, for two workers: the first has two of them, with six questions against one."""
    return [small_scene(model, LAYOUT, lengths, seed) for seed, lengths in enumerate(LENGTHS)]


def own_rows(model: Any, rank: int) -> list[tuple[ClipRow, int]]:
    """A worker's share."""
    return [(scene.row, 0) for scene in scenes_of(model)[rank::2]]


def gradient_of(family: str, way: str, rank: int) -> list[float]:
    """Gradient of a step over all clips, as the change that plain gradient descent makes."""
    model = small_branch(family, LAYOUT)
    model.train()
    rows = own_rows(model, rank)
    compute = PassLoss(model, OBJECTIVE)
    before = torch.cat([p.detach().double().reshape(-1) for p in trainable(compute).values()])
    optimizer = torch.optim.SGD(trainable(compute).values(), lr=RATE)
    updater: Any
    if way == "replicas":
        updater = Replicas(trainable(compute), optimizer, 1e9, sum_over_workers)
    else:
        updater = Zero(compute, optimizer, zero_settings(way, 1e9, "fp32"))
    run = compute if way == "replicas" else updater.engine
    passes = Passes.of(3, 2, 1, in_lockstep=way != "replicas")
    optimizer_step(run, updater, rows, OBJECTIVE, RATE, passes, sum_over_workers)
    after = torch.cat([value.detach().double().reshape(-1) for value in updater.weights().values()])
    return ((before - after) / RATE).tolist()


def losses_of(family: str, way: str, rank: int) -> dict[str, list[float]]:
    """Losses of a run, and of one that is saved after half of its steps and goes on in a new model."""
    config = TrainConfig.parse({"parallelism": way, "num_workers": 2, "clips_per_step": 3, "precision": "fp32"}, "test")
    found: dict[str, list[float]] = {"whole": [], "resumed": []}
    saved: dict[str, Tensor] = {}
    for name, steps in (("whole", range(NUM_STEPS)), ("resumed", range(NUM_STEPS // 2, NUM_STEPS))):
        model = small_branch(family, LAYOUT)
        model.train()
        rows = own_rows(model, rank)
        learner = make_learner(model, OBJECTIVE, config, "linguistic", 2, sum_over_workers)
        if name == "resumed":
            learner.updater.load(saved)
        for step in steps:
            if name == "whole" and step == NUM_STEPS // 2:
                saved = {key: value.clone() for key, value in learner.updater.state().items()}
            result = optimizer_step(
                learner.compute, learner.updater, rows, OBJECTIVE, 1e-2, learner.passes, sum_over_workers
            )
            found[name].append(result.loss)
    return found


def main(rank: int, folder: Path) -> None:
    """Go through all ways."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for family in FAMILIES:
        for way in WAYS:
            found[f"{family}/{way}"] = {
                "gradient": gradient_of(family, way, rank),
                "losses": losses_of(family, way, rank),
            }
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
