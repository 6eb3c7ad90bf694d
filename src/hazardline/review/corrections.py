"""Corrections of a data set as an overlay: a JSONL file that names old and new values, and how to apply it.

A correction holds for the value that was reviewed: where the data has another one by now, the clip stays as it is and
the conflict is named. The corrections of one clip are applied together or not at all.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import write_jsonl
from hazardline.ingest.adapter import Candidate
from hazardline.ingest.checks import check_annotation, check_times
from hazardline.ingest.lines import read_lines
from hazardline.native import Label, Times
from hazardline.review.sample_document import FieldValue, How, SceneField
from hazardline.tasks import ALL_TASKS, Task

CORRECTIONS_NAME = "corrections.jsonl"
ANSWER_PREFIX = "answer:"
"""Field of a correction that is one of a question-answer pair's answer alone: the prefix and the task."""
SCENE_FIELDS: tuple[str, ...] = get_args(SceneField)
TIME_FIELDS = ("pre_crash_start_s", "crash_start_s", "crash_end_s")
_PATTERN = "^(" + "|".join([*SCENE_FIELDS, *(f"{ANSWER_PREFIX}{task}" for task in ALL_TASKS)]) + ")$"


class Correction(Document):
    """One line of `corrections.jsonl`."""

    clip_id: Annotated[str, Field(min_length=1, max_length=200)]
    field: Annotated[str, Field(pattern=_PATTERN)]
    """A column of the scenes table, or `answer:TASK`."""
    old: FieldValue
    new: FieldValue
    task: Task
    """What was reviewed."""
    reviewers: tuple[str, ...]
    decided: How
    sample: str
    """Of the review (`ReviewSample.sample_id`)."""


@dataclass(frozen=True)
class CorrectionProblem:
    """Why the corrections of a clip were not applied."""

    clip_id: str
    field: str
    reason: Literal["old_value_differs", "contradiction", "wrong_type", "inconsistent", "unknown_clip"]
    detail: str


def write_corrections(path: Path, corrections: Iterable[Correction]) -> int:
    """Write an overlay; the same corrections give the same bytes. Returns their number."""
    return write_jsonl(path, [correction.data() for correction in corrections])


def read_corrections(path: Path) -> list[Correction]:
    """Read an overlay.

    Raises:
        UserError: it cannot be read, or a line is no correction.
    """
    found = []
    for number, line in read_lines(path, "the corrections.jsonl of a review"):
        if line is None:
            raise UserError(f"{path} line {number}: too long for a correction")
        found.append(Correction.parse_json(line, f"{path} line {number}"))
    return found


def of_answers(corrections: Iterable[Correction]) -> list[dict[str, Any]]:
    """Those of answers (`answer:TASK`), which the scenes table does not hold."""
    return [item.data() for item in corrections if item.field not in SCENE_FIELDS]


def apply_corrections(
    scene: Mapping[str, Any], corrections: Iterable[Correction]
) -> tuple[dict[str, Any], list[CorrectionProblem]]:
    """A row of the scenes table with the corrections of its clip.

    A value that is the corrected one already stays. Corrections of answers alone (`answer:TASK`) and of other clips are
    not looked at.

    Args:
        scene: the row.
        corrections: of any clips.

    Returns:
        The new row, and no problem; or the row as it was, and why.
    """
    own = [item for item in corrections if item.clip_id == scene["clip_id"] and item.field in SCENE_FIELDS]
    values, problems = _corrected(own, scene)
    if problems:
        return dict(scene), problems
    row = {**scene, **values}
    fault = _inconsistency(row) if own else None
    if fault is not None:
        field, detail = fault
        return dict(scene), [CorrectionProblem(scene["clip_id"], field, "inconsistent", detail)]
    return row, []


def apply_pair_corrections(
    pair: Mapping[str, Any], corrections: Iterable[Correction]
) -> tuple[dict[str, Any], list[CorrectionProblem]]:
    """A row of the QA table with the correction of its answer, where there is one (`answer:TASK`)."""
    field = f"{ANSWER_PREFIX}{pair['task']}"
    own = [item for item in corrections if item.clip_id == pair["clip_id"] and item.field == field]
    values, problems = _corrected(own, {field: pair["answer"]})
    if problems or not own:
        return dict(pair), problems
    return {**pair, "answer": values[field]}, []


def _corrected(
    corrections: Iterable[Correction], values: Mapping[str, Any]
) -> tuple[dict[str, FieldValue], list[CorrectionProblem]]:
    """Corrected values by field, and what speaks against them. A later review may correct what an earlier one said."""
    states: dict[str, list[FieldValue]] = {}
    problems: list[CorrectionProblem] = []
    clip_id = ""
    for item in corrections:
        clip_id, known = item.clip_id, states.setdefault(item.field, [item.old])
        if not _fits(item.field, item.new):
            detail = f"{item.new!r} cannot stand there"
            problems.append(CorrectionProblem(item.clip_id, item.field, "wrong_type", detail))
        elif item.old == known[-1]:
            known.append(item.new)
        elif item.new != known[-1]:
            detail = f"corrected to {known[-1]!r} and to {item.new!r}"
            problems.append(CorrectionProblem(item.clip_id, item.field, "contradiction", detail))
    for field, known in states.items():
        if values[field] not in known and field not in {problem.field for problem in problems}:
            detail = f"reviewed as {known[0]!r}, is {values[field]!r} now; review it again"
            problems.append(CorrectionProblem(clip_id, field, "old_value_differs", detail))
    return {field: known[-1] for field, known in states.items()}, problems


def _fits(field: str, value: FieldValue) -> bool:
    if field in TIME_FIELDS:
        return value is None or (isinstance(value, float) and math.isfinite(value) and value >= 0)
    if field == "label":
        return value in get_args(Label)
    return isinstance(value, str) or (value is None and not field.startswith(ANSWER_PREFIX))


def _inconsistency(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """A column that contradicts another one, by the checks of ingest: there the clip would go into quarantine."""
    if row["label"] == "crash" and row["crash_start_s"] is None:
        return "crash_start_s", "a crash without its start"
    times = Times(**{name: row[name] for name in Times.model_fields})
    clip = Candidate(CORRECTIONS_NAME, row["clip_id"], row["video_uri"], row["label"], row["source"], times)
    fault = check_annotation(clip) or check_times(clip, row["duration_s"], row["fps"])
    return None if fault is None else ("times", fault.detail)
