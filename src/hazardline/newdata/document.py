"""What the trigger writes: `trigger.json`."""

from typing import Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.newdata.config import DriftName, TriggerConfig

TRIGGER_NAME = "trigger.json"
PAGE_NAME = "trigger.html"

Status = Literal["new", "changed", "relabelled", "renamed", "unchanged", "removed"]
STATUSES: tuple[Status, ...] = Status.__args__  # type: ignore[attr-defined]
"""`new`: id and bytes unknown. `changed`: a known id with unknown bytes. `relabelled`: known bytes with another
annotation. `renamed`: known bytes and annotation under another id. `removed`: neither id nor bytes are there today."""

Verdict = Literal["drift", "no_drift", "not_measured"]
Kind = Literal["shares", "distribution", "distance", "classifier"]
EffectName = Literal["total_variation", "ks_distance", "energy_coefficient", "auc"]
ReasonKind = Literal[
    "first_training",
    "unknown_reference",
    "nothing_new",
    "already_trained",
    "new_clips",
    "new_crashes",
    "relabelled",
    "drift",
]


class Version(Document):
    """One dataset version."""

    num_clips: int
    content_digest: str
    """SHA-256 over ids, bytes and annotations of all clips, in the order of their ids, wherever the files lie."""


class StatusCounts(Document):
    """Clips of one status; categories beyond the fifty commonest are counted as `(others)`."""

    num_clips: int
    by_source: dict[str, int]
    by_label: dict[str, int]
    by_scenario: dict[str, int]


class Sampled(Document):
    """How many clips of one side were there, compared, and compared by their vectors."""

    num_clips: int
    num_compared: int
    num_compared_vectors: int
    num_units: int
    """Independent units among the compared: recordings, pairs, channels, or single clips."""


class CategoryShare(Document):
    """One category of a column."""

    category: str
    reference: float
    new: float


class DriftRow(Document):
    """One comparison of the new clips with the reference."""

    name: DriftName
    kind: Kind
    effect_name: EffectName
    effect: float | None
    limit: float
    low: float | None = None
    """95 % interval of an AUC, by bootstrap over units."""
    high: float | None = None
    p: float | None = None
    """By permutation of units; none for an AUC, and where all clips have one value."""
    p_holm: float | None = None
    verdict: Verdict
    note: str = ""
    more: dict[str, float] = Field(default_factory=dict)
    """Other measures of the same difference (Cramer's V, PSI, Wasserstein distance, medians)."""
    shares: tuple[CategoryShare, ...] = ()


class Reason(Document):
    """One rule of the policy, and what it says."""

    kind: ReasonKind
    retrain: bool
    sentence: str


class Trigger(Document):
    """The fingerprint of what is new, drift against the reference, and whether to train again."""

    version: Literal["trigger@1"] = "trigger@1"
    retrain: bool
    reasons: tuple[Reason, ...]
    reference: Version | None
    """None before the first training."""
    today: Version
    new_digest: str | None
    """Names the set of new, changed and relabelled clips by bytes and annotations, in any order; None where empty."""
    counts: dict[Status, StatusCounts]
    num_new: int
    """Clips with bytes that the reference does not have: new and changed."""
    num_new_crashes: int
    sampled_reference: Sampled | None
    sampled_new: Sampled | None
    num_units_on_both_sides: int
    """Recordings, pairs or channels with clips on both sides: they make drift harder to see, never easier."""
    drift: tuple[DriftRow, ...]
    policy: TriggerConfig
