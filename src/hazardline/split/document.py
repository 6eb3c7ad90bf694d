"""`leakage.json`: how the data was split, and what the audit found."""

from typing import Literal

from hazardline.documents import Document
from hazardline.split.findings import Finding
from hazardline.split.leakage import LeakageRow

LEAKAGE_NAME = "leakage.json"


class SplitCounts(Document):
    """One split."""

    num_clips: int
    num_groups: int
    by_label: dict[str, int]
    by_scenario: dict[str, int]


class NeighbourLeakage(Document):
    """Near-duplicates, by fingerprints."""

    distance: float
    """`near_duplicate_distance` of the recipe."""
    num_pairs: int
    """Links found; clips that are connected through others are not linked again."""
    num_mirrored: int
    num_trimmed: int
    """Of the pairs, those of which one begins later than the other."""
    num_uninformative: int
    """Clips that show nothing that could be compared (black, fog, a plain title): they are nobody's duplicates."""
    num_clips_in_largest_group: int
    """Clips connected with one another by near-duplication alone. If these are more than the copies that one clip can
    have, the distance is too large for this data."""
    num_pairs_with_other_label: int
    """Of those, pairs of different labels that no `pair_id` explains: copies of one scene that were labelled twice."""
    num_across_splits: int


class AuditedSample(Document):
    """What the classifiers were asked about: whole groups, drawn at random where there are too many clips."""

    num_clips: int
    of_clips: int
    is_sample: bool


class LeakageReport(Document):
    """How the data was split, and what it gives away."""

    version: Literal["leakage@2"] = "leakage@2"
    salt: str
    group_by: tuple[str, ...]
    """What kept clips together, beside near duplicates."""
    num_groups: int
    splits: dict[str, SplitCounts]
    neighbours: NeighbourLeakage
    limit_auc: float
    audited: AuditedSample
    findings: list[Finding]
    """The gravest first."""
    rows: list[LeakageRow]
