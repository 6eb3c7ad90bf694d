"""What the train stage says it made (`training.json`), and how a worker is told what to do."""

from pathlib import Path
from typing import Literal

from hazardline.documents import Document
from hazardline.tasks import Branch
from hazardline.train.checkpoint import ValidationLosses
from hazardline.train.config import TrainConfig
from hazardline.train.selfcheck import SelfCheck

TRAINING_NAME = "training.json"


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
    progress: Path
    """JSON lines that the worker of rank 0 appends."""
    run_digest: str


class BranchOutcome(Document):
    """What a finished branch says beside its final checkpoint (`outcome.json`)."""

    num_clips: int
    num_steps: int
    num_validation_clips: int
    peak_rss_mb: float
    trainable_parameters: int
    self_check: SelfCheck


OUTCOME_NAME = "outcome.json"
