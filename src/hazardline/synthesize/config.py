"""Settings of the synthesize stage."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hazardline.documents import Document
from hazardline.suites import ALL_PROMPTS
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.tasks import Task


def _known_version(version: str) -> str:
    if version not in ALL_PROMPTS:
        raise ValueError(f"no such prompt version; allowed: {', '.join(sorted(ALL_PROMPTS))}")
    return version


PromptVersion = Annotated[str, AfterValidator(_known_version)]

MAX_WORDS: dict[Task, int] = {
    "crash_description": 40,
    "cause_reasoning": 60,
    "prevention_reasoning": 300,
}
"""Longest answers of CrashChat's text tasks; those of MM-AU's annotators are far shorter but for the measures."""


class ValidationRules(Document):
    """Limits of the rules that concern the words of a pair. Times, signs and forms have no settings."""

    language: Literal["en", "any"] = "en"
    """`any` leaves the language unchecked."""
    max_similarity: float = Field(default=0.85, gt=0.0, le=1.0)
    """Two texts of one clip that are more alike say the same, and the second is refused."""
    min_words: int = Field(default=2, ge=1)
    """Of a description, a cause or measures, and of a topic's reasoning."""
    max_words: dict[Task, int] = Field(default_factory=dict)
    """Longest answers by task, where they differ from `MAX_WORDS`."""
    max_topic_words: int = Field(default=150, ge=1)
    """Longest reply (reasoning and answer) to a topic of HazardQA."""
    min_question_words: int = Field(default=3, ge=1)
    max_question_words: int = Field(default=60, ge=1)
    """Shortest and longest question of HazardQA."""

    def limit(self, task: Task) -> int:
        """Longest answer to a task, in words."""
        return self.max_words.get(task, MAX_WORDS.get(task, self.max_topic_words))


class SynthesizeConfig(Document):
    """Which annotator writes the question-answer pairs, and how many of them may be wrong."""

    annotator: Literal["deterministic", "published", "endpoint"] = "deterministic"
    """`deterministic` writes what the annotation (of an image: its exact truth) says, and nothing else; `published`
    takes the data set's own pairs word for word; `endpoint` asks a vision-language model (see `endpoint`)."""
    prompt_version: PromptVersion = "crashchat@1"
    """One of `hazardline.suites.ALL_PROMPTS`; it names the suite, and a score is a score of this version."""
    endpoint: EndpointConfig | None = None
    """Where and how the annotator `endpoint` asks."""
    rules: ValidationRules = ValidationRules()
    """What an annotator's words may be."""
    max_rejected_share: float = Field(default=0.01, ge=0.0, le=1.0)
    """The stage fails where a larger share of the pairs does not pass validation."""

    @model_validator(mode="after")
    def _endpoint_is_for_its_annotator(self) -> Self:
        if (self.annotator == "endpoint") != (self.endpoint is not None):
            raise ValueError("the annotator endpoint needs a section endpoint, and no other annotator has one")
        return self
