"""What the train stage says it made (`training.json`), and how a worker is told what to do."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.tasks import Branch, Task
from hazardline.train.config import TrainConfig

TRAINING_NAME = "training.json"
STATE_NAME = "state.json"
OUTCOME_NAME = "outcome.json"
ADAPTER_FOLDER = "adapter"
"""In a final checkpoint, beside the outcome."""


class ValidationLosses(Document):
    """Mean loss by task on validation clips, after so many steps."""

    step: int
    losses: dict[Task, float]

    @property
    def mean(self) -> float:
        """Mean over the tasks: what early stopping looks at."""
        return sum(self.losses.values()) / len(self.losses)


class TrainingState(Document):
    """What a checkpoint says of itself (`state.json`)."""

    version: Literal["training-state@1"] = "training-state@1"
    branch: Branch
    step: int
    """Optimizer steps that are done."""
    run_digest: str
    """Of recipe section, data and base: a run goes on only from a checkpoint of its own."""
    losses: list[float]
    """Of every step that is done."""
    validation: list[ValidationLosses] = Field(default_factory=list)
    busy_s: float = 0.0
    """Seconds spent in the steps that are done, validation and checkpoints not counted."""
    num_clips: int = 0
    num_answer_tokens: int = 0


class Tolerances(Document):
    """Largest accepted relative differences."""

    features: float = 0.05
    """Cached (bf16 autocast, kept in fp16) against the native encoder in fp32."""
    encoder: float = 1e-4
    """Batched encoder against the native one, both fp32."""
    loss: float = 1e-5
    gradient: float = 1e-4


class SelfCheck(Document):
    """Relative differences that were found."""

    clip_id: str
    num_frames: int
    num_turns: int
    features: float
    encoder: float
    loss: float
    gradient: float
    tolerances: Tolerances = Tolerances()

    def refuse_differences(self) -> None:
        """Raise UserError, naming the part, where a difference is over its tolerance (or not a number)."""
        parts = {
            "features": "cached features against the native vision encoder",
            "encoder": "batched vision encoder against the native one",
            "loss": "loss of the packed step against separate samples",
            "gradient": "gradient of the packed step against separate samples",
        }
        for name, meaning in parts.items():
            found, limit = getattr(self, name), getattr(self.tolerances, name)
            if not found <= limit:
                raise UserError(
                    f"train self-check on clip {self.clip_id}: {meaning}: relative difference {found:.2e}, expected at "
                    f"most {limit:.0e}; training would not do what it says. Install the locked versions of torch, "
                    "transformers and peft"
                )


class LossPoint(Document):
    """Mean loss of the steps since the point before."""

    step: int
    loss: float


class BranchReport(Document):
    """One branch."""

    num_clips: int
    """Training clips that have a question of the branch."""
    num_steps: int
    losses: list[LossPoint]
    validation: list[ValidationLosses]
    num_validation_clips: int
    num_workers: int
    wall_s: float
    """From the start of the branch's workers to their end, start-up and restarts included."""
    busy_s: float
    """In optimizer steps alone."""
    clips_per_s: float
    """Visits a second of `busy_s`, all workers together."""
    answer_tokens_per_s: float
    peak_rss_mb: float
    """Of the worker of rank 0."""
    trainable_parameters: int
    planned_memory_mb: float
    """What the plan before the first step expected of a worker's device, libraries not counted."""
    adapter_step: int
    """Step whose weights the adapter holds: the last one, or the best under early stopping."""
    num_restarts: int
    """Times that the workers were started anew after a loss."""
    self_check: SelfCheck


class Digests(Document):
    """What the adapters depend on."""

    base: str
    encoder: str
    layout: str
    scenes: str
    """Of scenes.parquet."""
    qa: str
    """Of qa.parquet."""
    config: str


class TrainingReport(Document):
    """The report of the train stage."""

    version: Literal["training@1"] = "training@1"
    base: str
    """`pocket`, or the path from the recipe."""
    digests: Digests
    precision: str
    seed: int
    branches: dict[Branch, BranchReport]
    features_wall_s: float
    train_wall_s: float
    num_feature_clips: int


class BranchJob(Document):
    """Everything that a worker of a branch needs to know. Paths are absolute."""

    branch: Branch
    config: TrainConfig
    base: Path
    ingest: Path
    synthesize: Path
    features: Path
    """Folder of the index."""
    feature_cache: Path
    """Folder of the files."""
    progress: Path
    """JSON lines that the worker of rank 0 appends."""
    checkpoints: str
    """Address of this branch's checkpoints (`hazardline.train.checkpoint_store`)."""
    run_digest: str
    channel: str | None = None
    """Name of the actor that carries progress (`ray_channel`), where a mirror is set. The worker then reads none of
    the folders above, which are the driver's, but what the driver has shared (`shared_inputs`)."""

    @property
    def stop_request(self) -> Path:
        """File whose presence asks the workers to save and end."""
        return self.progress.with_suffix(".stop")

    def tell(self, event: Mapping[str, Any]) -> None:
        """Append a line to the progress file."""
        with self.progress.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**event, "pid": os.getpid()}) + "\n")


class BranchOutcome(Document):
    """What a finished branch says beside its final checkpoint (`outcome.json`)."""

    num_clips: int
    num_steps: int
    """Planned; early stopping may have ended the branch before."""
    adapter_step: int
    """Step whose weights the adapter holds."""
    num_validation_clips: int
    peak_rss_mb: float
    trainable_parameters: int
    planned_memory_mb: float
    self_check: SelfCheck
