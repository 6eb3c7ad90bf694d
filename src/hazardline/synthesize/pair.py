"""A question-answer pair, and what an annotator makes of one clip."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hazardline.tasks import Task

SceneRow = dict[str, Any]
"""A row of the scenes table (`hazardline.tables.SCENES`)."""


Reason = Literal[
    "unknown_clip",
    "wrong_id",
    "duplicate",
    "unknown_task",
    "wrong_question",
    "empty_answer",
    "wrong_sign",
    "negative_answer_for_crash",
    "wrong_negative_answer",
    "localization_of_negative",
    "wrong_answer_form",
    "times_outside_clip",
    "times_out_of_order",
    "empty_question",
    "answer_in_question",
    "inconsistent_classification",
    "too_many_topics",
    "incomplete_scene",
    "unknown_agent",
    "contradiction",
    "near_duplicate",
    "not_english",
    "too_long",
    "too_short",
]
"""Why a pair is refused."""
Problem = tuple[Reason, str]
"""The reason, and what was found."""


@dataclass(frozen=True)
class QaPair:
    """One row of the QA table (`hazardline.tables.QA`)."""

    qa_id: str
    clip_id: str
    split: str
    task: Task
    question: str
    answer: str
    is_positive: bool
    annotator: str
    prompt_version: str

    def row(self) -> dict[str, Any]:
        """The row (`dataclasses.asdict` copies deeply, which costs more than all the rest of a pair's way)."""
        return dict(vars(self))


@dataclass(frozen=True)
class Clip:
    """What an annotator is given of a clip: its row of the scenes table, and its split."""

    scene: SceneRow
    split: str

    @property
    def clip_id(self) -> str:
        """The clip's id."""
        value: str = self.scene["clip_id"]
        return value


@dataclass(frozen=True)
class Failure:
    """Why an annotator gave no answer about a clip in the end: a fixed word, what was found, attempts made."""

    reason: str
    detail: str
    num_attempts: int


@dataclass(frozen=True)
class Annotation:
    """The pairs of one clip, the reason for each task that it could not be asked, and what went wrong, if it did."""

    pairs: list[QaPair]
    unasked: list[tuple[Task, str]] = field(default_factory=list)
    failure: Failure | None = None


def qa_id(clip_id: str, task: Task) -> str:
    """`<clip_id>/<task>`: a clip is asked each task at most once."""
    return f"{clip_id}/{task}"
