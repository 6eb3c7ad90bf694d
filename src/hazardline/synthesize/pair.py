"""A question-answer pair, and what an annotator makes of one clip."""

from dataclasses import dataclass, field
from typing import Any

from hazardline.tasks import Task

SceneRow = dict[str, Any]
"""A row of the scenes table (`hazardline.tables.SCENES`)."""


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


@dataclass(frozen=True)
class Annotation:
    """The pairs of one clip, and the reason for each task that the clip could not be asked."""

    pairs: list[QaPair]
    unasked: list[tuple[Task, str]] = field(default_factory=list)


def qa_id(clip_id: str, task: Task) -> str:
    """`<clip_id>/<task>`: a clip is asked each task at most once."""
    return f"{clip_id}/{task}"
