"""What evaluation says, as one document: metrics with intervals, slices, and what exactly was measured."""

from collections.abc import Collection
from typing import Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.split.findings import Finding
from hazardline.suites import CRASHCHAT, HAZARDNET

EVALUATION_NAME = "evaluation.json"
REPORT_NAME = "report.html"
ModelName = Literal["base", "constant", "candidate"]
CRASH_MAIN_METRICS = (
    "recognition_macro_f1",
    "near_miss_auc",
    "crash_miou",
    "crash_ap50",
    "pre_crash_score",
    "description_family_accuracy",
)
HAZARD_MAIN_METRICS = (
    "risk_macro_f1",
    "agent_macro_f1",
    "action_macro_f1",
    "scene_macro_f1",
    "classification_macro_f1",
    "qa_accuracy",
)
MAIN_METRICS = {CRASHCHAT.name: CRASH_MAIN_METRICS, HAZARDNET.name: HAZARD_MAIN_METRICS}
"""What people are shown first, by suite; every metric is in the document."""


def main_metrics(measured: Collection[str]) -> tuple[str, ...]:
    """The main metrics of the suite that measured metrics belong to (CrashChat's where there is none of either)."""
    return next((names for names in MAIN_METRICS.values() if set(names) & set(measured)), CRASH_MAIN_METRICS)


class Estimate(Document):
    """A metric with its 95 % interval (bootstrap over clips or their groups) and the number of clips behind it."""

    value: float
    low: float
    high: float
    n: int


class Identity(Document):
    """What a score is a score of. Digests are hex SHA-256."""

    base_digest: str
    adapters_digest: dict[str, str]
    """Branch name to the digest of its adapter folder."""
    test_data_digest: str
    """Over (clip_id, sha256 of the video, question, reference answer) of the test set, in order."""
    layout_digest: str
    prompt_version: str
    code_commit: str


class SliceEstimate(Document):
    """A metric of the candidate on a part of the test set, for example dimension `weather`, value `rainy`."""

    dimension: str
    value: str
    metric: str
    estimate: Estimate


class LeakageNote(Document):
    """What the split's audit found in the data that the scores are of."""

    audit_digest: str
    """Hex SHA-256 of the audit's document (`leakage.json`)."""
    findings: list[Finding]


class Evaluation(Document):
    """The report of the evaluate stage (`evaluation.json`); `clip_scores.parquet` holds the values per clip."""

    version: Literal["evaluation@1"] = "evaluation@1"
    identity: Identity
    num_test_clips: int
    counts: dict[str, int]
    """Clips by label, questions asked, unparsable answers, skipped pre-crash clips and so on."""
    metrics: dict[ModelName, dict[str, Estimate]]
    slices: list[SliceEstimate]
    ceiling: dict[str, Estimate] = Field(default_factory=dict)
    """A small probe on the same frozen features, trained on the same clips: a diagnosis, not a competitor."""
    constants: dict[str, str] = Field(default_factory=dict)
    """The best constant answer to every metric, chosen on the validation split."""
    undefined: dict[ModelName, list[str]] = Field(default_factory=dict)
    """Metrics that cannot be computed on this test set, for example an AUC against a label that it lacks."""
    leakage: LeakageNote | None = Field(default=None, exclude_if=lambda note: note is None)
    """Absent where the split carries no findings."""
    groups: dict[str, str] = Field(default_factory=dict, exclude_if=lambda groups: not groups)
    """Group of every test clip, where whole groups are resampled (images of one scene); absent where clips are."""
