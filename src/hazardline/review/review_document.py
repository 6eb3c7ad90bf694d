"""What a review found (`review.json`): counts, acceptance of the annotator, agreement, and spread of the marks."""

from typing import Literal

from hazardline.documents import Document
from hazardline.review.sample_document import Stratum

REVIEW_NAME = "review.json"
PAGE_NAME = "report.html"

Measure = Literal[
    "percent_agreement",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
    "mean_iou",
    "mean_difference_s",
    "mean_abs_difference_s",
    "share_within_tolerance",
]


class Figure(Document):
    """A figure with its 95 % bootstrap interval over clips; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    num_clips: int
    num_ratings: int
    """Pairs of ratings (or marks), or rated items, behind it."""
    undefined_share: float
    """Share of the resamples in which the figure is not defined; they are left out of the interval."""


class AgreementFigure(Document):
    """Agreement on one task, or on one field of the classification."""

    task: str
    measure: Measure
    between: Literal["reviewers", "annotation"]
    """Among reviewers, or of the reviewers with the annotation."""
    reviewers: tuple[str, ...]
    """Whom it is about: two for Cohen's kappa between reviewers, else all that took part."""
    figure: Figure


class Acceptance(Document):
    """How often the reviewers together let the answers to one task stand; a pair counts once."""

    task: str
    num_accepted: int
    num_refused: int
    num_open: int
    """Unclear, or reviewers disagree: not part of the rate."""
    rate: float | None
    low: float | None
    """Wilson's 95 % interval."""
    high: float | None


class Spread(Document):
    """How far the marks of one moment lie apart, over clips with at least two marks."""

    mark: Literal["pre_crash", "crash_start", "crash_end"]
    num_clips: int
    num_marks: int
    num_prefilled: int
    """Marks that a reviewer left where they were shown: no opinions of their own. They are not part of the figures."""
    mean_sd_s: Figure
    """Standard deviation (n - 1) of a clip's marks, mean over clips."""
    mean_range_s: Figure
    share_within_tolerance: Figure
    """Share of pairs of marks of one clip that lie within CrashChat's 0.5 s of each other."""


class Review(Document):
    """The report of one import."""

    version: Literal["review@1"] = "review@1"
    sample: str
    suite: Literal["crashchat", "hazardnet"]
    is_prefilled: bool
    reviewers: tuple[str, ...]
    num_clips: int
    num_clips_reviewed: int
    num_annotations: int
    num_annotations_used: int
    num_decisions: int
    problems: dict[str, int]
    """Rows of the problems table by reason."""
    strata: tuple[Stratum, ...]
    acceptance: tuple[Acceptance, ...]
    agreement: tuple[AgreementFigure, ...]
    spread: tuple[Spread, ...]
    tolerance_s: float
    num_resamples: int
    seed: int
