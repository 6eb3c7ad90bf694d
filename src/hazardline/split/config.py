"""What the split stage is told."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline.documents import Document

Share = Annotated[float, Field(gt=0, lt=1)]
GroupKey = Literal["pair", "recording", "channel", "location"]


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
    group_by: tuple[GroupKey, ...] = ("pair", "recording", "channel")
    """What keeps clips in one split, near duplicates apart, which always do. `pair` and `recording` hold within a
    source, unless the id names its own namespace (`youtube:...`); `channel` and `location` hold across all sources.
    `location` is not among the defaults: where a data set is from one city, it makes one group of everything."""
    use_published: bool | Literal["exactly"] = False
    """Keep the data set's own split where it is given; the other clips are dealt out by the shares. `true` keeps groups
    whole: one that stands in several splits goes where most of it is; where none is called test, the published
    validation becomes it, and a new validation is cut out of train. `exactly` moves no clip, also where that tears
    groups apart: figures become comparable with the published ones, leaks and all, and the audit names them."""
    near_duplicate_distance: Annotated[float, Field(ge=0, le=0.5, strict=False)] = 0.3
    """Two clips are one group when the share of bits in which their pictures differ and that of their motion add up to
    no more than this; without motion (images, a parked car) the pictures alone must differ in a third of it at most."""
    leakage_limit_auc: Annotated[float, Field(ge=0.5, le=1)] = 0.7
    """A cheap feature leaks the label when its held-out AUC lies above this with its whole 95 % interval."""
    audit_max_clips: Annotated[int, Field(ge=100)] = 10_000
    """Of more clips the audit takes whole groups at random, up to this many clips, and says so."""
    refuse_severity: Literal["warning", "serious", "critical"] | None = "critical"
    """The stage refuses its output where the audit finds something of this severity or a graver one; null refuses
    nothing. Groups across splits are refused always, but for those that `use_published: exactly` keeps torn."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = self.train_share + self.validation_share + self.test_share
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train_share, validation_share and test_share add up to {total:.4g}, not to 1")
        return self
