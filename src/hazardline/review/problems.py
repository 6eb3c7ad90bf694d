"""What an import could not use, with the reason."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "bad_task",
    "other_sample",
    "unknown_clip",
    "task_edited",
    "not_annotated",
    "draft",
    "bad_annotation",
    "skipped",
    "superseded",
    "bad_result",
    "unknown_control",
    "outside_clip",
    "several_results",
    "not_asked",
    "correction_not_used",
    "missing_decision",
]
"""Up to `superseded` a whole task or annotation is not used; behind it a part of an annotation is not."""

DETAIL_LENGTH = 300


@dataclass(frozen=True)
class ReviewProblem:
    """One row of the problems table (`hazardline.review.tables.REVIEW_PROBLEMS`)."""

    origin: str
    clip_id: str | None
    reviewer: str | None
    reason: Reason
    detail: str


def shown(value: object) -> str:
    """A value from outside on one short line of printable characters."""
    text = " ".join((value if isinstance(value, str) else repr(value)[: 4 * DETAIL_LENGTH]).split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= DETAIL_LENGTH else f"{text[: DETAIL_LENGTH - 4]} ..."
