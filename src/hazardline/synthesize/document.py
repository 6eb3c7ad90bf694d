"""What synthesize says it made (`synthesis.json`)."""

from typing import Literal

from hazardline.documents import Document

SYNTHESIS_NAME = "synthesis.json"


class PairCount(Document):
    """How many accepted pairs there are of one kind."""

    task: str
    split: str
    answer_form: Literal["positive", "negative"]
    num_pairs: int


class UnaskedCount(Document):
    """How many clips were not asked a task because their annotation lacks the answer."""

    task: str
    reason: str
    num_clips: int


class RejectedPair(Document):
    """A pair that validation refused."""

    qa_id: str
    reason: str
    detail: str


class Synthesis(Document):
    """The report of the synthesize stage."""

    version: Literal["synthesis@1"] = "synthesis@1"
    annotator: str
    prompt_version: str
    prompt_digest: str
    """Hex SHA-256 over the version and its questions."""
    num_clips: dict[str, int]
    """Clips by split."""
    num_pairs: int
    counts: list[PairCount]
    unasked: list[UnaskedCount]
    rejected: list[RejectedPair]
    rejected_share: float
