"""What the two gates measured (`parity.json`)."""

from typing import Literal

from hazardline.documents import Document
from hazardline.evaluate.document import Estimate

PARITY_NAME = "parity.json"


class PartDifference(Document):
    """How far a part of the float export is from PyTorch on the same input."""

    part: str
    max_abs_difference: float
    scale: float
    """Largest absolute value that PyTorch gives."""
    relative: float
    """max_abs_difference / scale: what is held against the tolerance."""


class Structural(Document):
    """The float export against PyTorch."""

    tolerance: float
    num_clips: int
    parts: list[PartDifference]
    num_answers: int
    num_equal_answers: int
    """Greedy answers with the same tokens."""
    num_ties: int
    """Answers that differ first where PyTorch's two best tokens are nearer to each other than the tolerance."""


class MetricDrop(Document):
    """What a metric loses by quantising: float minus quantised (the other way round where lower is better)."""

    metric: str
    float_value: float
    quantised_value: float
    drop: Estimate
    """With the paired 95 % interval over the same resampled clips."""
    max_drop: float


class SliceDrop(Document):
    """The same on a part of the test set."""

    dimension: str
    value: str
    metric: str
    drop: Estimate


class Quality(Document):
    """The quantised bundle against the float model on the test set."""

    num_clips: int
    """Test clips that the bundle answered."""
    num_forced_clips: int
    num_tokens: int
    """Reference answer tokens behind divergence and agreement."""
    mean_kl: float
    max_mean_kl: float
    top1_agreement: float
    min_top1_agreement: float
    equal_answers_share: float
    """Share of answers whose text is the float model's."""
    drops: list[MetricDrop]
    worst_slice: SliceDrop | None
    """The part of the test set that loses most; None where no part is large enough."""


class Parity(Document):
    """Report of both gates."""

    version: Literal["parity@1"] = "parity@1"
    structural: Structural
    quality: Quality

    def numbers(self) -> dict[str, float]:
        """The numbers that travel in the bundle's manifest."""
        found = {f"structural/{part.part}": part.relative for part in self.structural.parts}
        found["structural/equal_answers"] = self.structural.num_equal_answers / max(1, self.structural.num_answers)
        found["quality/mean_kl"] = self.quality.mean_kl
        found["quality/top1_agreement"] = self.quality.top1_agreement
        return found | {f"quality/drop/{item.metric}": item.drop.value for item in self.quality.drops}
