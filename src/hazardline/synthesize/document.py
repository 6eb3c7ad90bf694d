"""What synthesize says it made (`synthesis.json`)."""

from typing import Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.synthesize.config import ValidationRules

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


class RejectedCount(Document):
    """How many pairs validation refused for one reason, and the first of them; all stand in `rejected.parquet`."""

    reason: str
    num_pairs: int
    first_qa_id: str
    first_detail: str


class FailedCount(Document):
    """How many clips were asked about in vain, by the last attempt's reason; all stand in `failed.parquet`."""

    reason: str
    num_clips: int


class EndpointReport(Document):
    """What an endpoint was asked and what it answered, whichever run paid for it."""

    model: str
    annotator_prompt: str
    """Name and version of the wording (`hazardline.synthesize.endpoint.prompts`)."""
    annotator_prompt_digest: str
    """Hex SHA-256 of that wording."""
    temperature: float | None
    seed: int
    num_clips_asked: int
    """Clips with a question to the endpoint; fixed negative answers cost nothing."""
    attempts: dict[str, int]
    """Answers paid for, by outcome."""
    served_models: dict[str, int]
    """Answers by the model's name as the endpoint gives it."""
    system_fingerprints: dict[str, int]
    """Answers by the endpoint's `system_fingerprint` (`none` where it gives none)."""
    structured: dict[str, int]
    """Answers by how they were held to their schema."""
    prompt_tokens: int
    completion_tokens: int
    usd: float


class Synthesis(Document):
    """The report of the synthesize stage."""

    version: Literal["synthesis@2"] = "synthesis@2"
    annotator: str
    prompt_version: str
    prompt_digest: str
    """Hex SHA-256 over the version and its questions."""
    rules: ValidationRules = ValidationRules()
    num_clips: dict[str, int]
    """Clips by split."""
    num_pairs: int
    counts: list[PairCount]
    unasked: list[UnaskedCount]
    rejected: list[RejectedCount]
    rejected_share: float
    failed: list[FailedCount] = Field(default_factory=list)
    num_other_questions: int = 0
    """Accepted pairs whose question is the data set's own and not that of the prompt version."""
    num_unused_records: int = 0
    """Published pairs of clips that are not in the scenes table (ingest says why they are not)."""
    endpoint: EndpointReport | None = None
    """Of the annotator `endpoint`."""
