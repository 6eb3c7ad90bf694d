"""Settings of the synthesize stage."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hazardline.documents import Document
from hazardline.suites import ALL_PROMPTS


def _known_version(version: str) -> str:
    if version not in ALL_PROMPTS:
        raise ValueError(f"no such prompt version; allowed: {', '.join(sorted(ALL_PROMPTS))}")
    return version


PromptVersion = Annotated[str, AfterValidator(_known_version)]


class SynthesizeConfig(Document):
    """Which annotator writes the question-answer pairs, and how many of them may be wrong."""

    annotator: Literal["deterministic"] = "deterministic"
    """`deterministic` writes what the annotation (of an image: its exact truth) says, and nothing else."""
    prompt_version: PromptVersion = "crashchat@1"
    """One of `hazardline.suites.ALL_PROMPTS`; it names the suite, and a score is a score of this version."""
    max_rejected_share: float = Field(default=0.01, ge=0.0, le=1.0)
    """The stage fails where a larger share of the pairs does not pass validation."""
