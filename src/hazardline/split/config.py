"""What the split stage is told."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from hazardline.documents import Document

Share = Annotated[float, Field(gt=0, lt=1)]


class SplitConfig(Document):
    """Section `split` of a recipe."""

    train_share: Share = 0.55
    """Share of the clips that trains; the three shares add up to 1."""
    validation_share: Share = 0.1
    test_share: Share = 0.35
    min_test_clips: Annotated[int, Field(ge=0)] = 0
    """The test share grows, at the cost of training, until it holds this many clips."""
    salt: Annotated[str, Field(min_length=1)] = "hazardline"
    """Another salt gives another split of the same clips."""
    near_duplicate_distance: Annotated[float, Field(ge=0, le=0.5, strict=False)] = 0.3
    """Two clips are one group when the share of bits in which their pictures differ and that of their motion add up to
    no more than this; without motion (images, a parked car) the pictures alone must differ in a third of it at most."""
    leakage_limit_auc: Annotated[float, Field(ge=0.5, le=1)] = 0.7
    """A cheap feature leaks the label when its held-out AUC lies above this with its whole 95 % interval."""
    fail_on_leakage: bool = False
    """Whether a leaking feature fails the stage; groups across splits always do."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = self.train_share + self.validation_share + self.test_share
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train_share, validation_share and test_share add up to {total:.4g}, not to 1")
        return self
