"""Jobs on the small world, and a way to run one in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hazardline.tasks import Branch
from hazardline.train.checkpoint_store import FolderStore
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
        feature_cache=features,
        progress=folder / "progress.jsonl",
        checkpoints=str(folder / "checkpoints"),
        run_digest="0" * 64,
    )


class CutOffError(Exception):
    """The process ended here, as far as a test is concerned."""


class OneWorker:
    """The only worker of a branch."""

    rank = 0
    count = 1

    def sum(self, tensor: torch.Tensor) -> None:
        """Nothing to add."""


class WatchedStore(FolderStore):
    """A folder of checkpoints that counts what is kept, and may end the process after a number of them."""

    def __init__(self, root: Path, cut_after: int | None = None) -> None:
        super().__init__(root)
        self.root = root
        self.kept: list[str] = []
        self._cut_after = cut_after

    def commit(self, name: str, source: Path) -> None:
        super().commit(name, source)
        self.kept.append(name)
        if self._cut_after is not None and len(self.kept) == self._cut_after:
            raise CutOffError
