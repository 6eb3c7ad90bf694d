"""Jobs on the small world, and a way to run one in this process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hazardline.tasks import Branch
from hazardline.train.config import TrainConfig
from hazardline.train.document import BranchJob

NUM_STEPS = 12


def small_config(base: Path, **changes: Any) -> TrainConfig:
    """Few steps in fp32, with all that a real run has: augmentation, dropout, noise, checkpoints, validation."""
    values = {
        "base": str(base),
        "num_steps": NUM_STEPS,
        "warmup_steps": 2,
        "precision": "fp32",
        "eval_every_steps": 5,
        "checkpoint_every_steps": 3,
        "encoder_processes": 1,
        **changes,
    }
    return TrainConfig.parse(values, "test")


def make_job(
    folder: Path, config: TrainConfig, inputs: Mapping[str, Path], features: Path, branch: Branch = "linguistic"
) -> BranchJob:
    """A job whose progress file lies in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return BranchJob(
        branch=branch,
        config=config,
        base=Path(config.base),
        ingest=inputs["ingest"],
        synthesize=inputs["synthesize"],
        features=features,
        progress=folder / "progress.jsonl",
        run_digest="0" * 64,
    )


class CutOffError(Exception):
    """The process ended here, as far as a test is concerned."""


class OneWorker:
    """The only worker of a branch; keeps checkpoints in a folder, and may end after one of them."""

    rank = 0
    count = 1

    def __init__(self, folder: Path, cut_after: int | None = None) -> None:
        self.folder = folder
        self.steps: list[int] = []
        self._cut_after = cut_after

    def sum(self, tensor: torch.Tensor) -> None:
        """Nothing to add."""

    @contextmanager
    def last_checkpoint(self) -> Iterator[Path | None]:
        found = sorted(self.folder.glob("step_*"))
        yield found[-1] if found else None

    def commit(self, folder: Path | None, metrics: Mapping[str, float]) -> None:
        assert folder is not None
        step = int(metrics["step"])
        self.steps.append(step)
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"step_{step:04d}"
        target.mkdir(exist_ok=True)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                copy = target / path.relative_to(folder)
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(path.read_bytes())
        if self._cut_after is not None and len(self.steps) == self._cut_after:
            raise CutOffError
