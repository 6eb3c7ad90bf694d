"""Label Studio's exports (JSON and JSON_MIN) as a stream of tasks with their annotations.

An export comes from outside: its size, depth and types are limited and checked; what is wrong in one task or annotation
leaves the others untouched. The forms are those that Label Studio 1.23.2 writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import ijson
from ijson.common import ObjectBuilder
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hazardline.errors import UserError
from hazardline.review.problems import ReviewProblem, shown

MAX_EXPORT_BYTES = 64 << 20
"""An annotation of a clip takes 3 kB."""
MAX_DEPTH = 32
MAX_TASK_VALUES = 200_000
MAX_NAME_LENGTH = 200
_BEGIN, _END = {"start_map", "start_array"}, {"end_map", "end_array"}


class _Foreign(BaseModel):
    """Label Studio's own object: keys that are not needed are ignored, those that are have exactly their type."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class ForeignResult(_Foreign):
    """One result of an annotation."""

    from_name: str
    type: str
    value: dict[str, Any]


class _ForeignAnnotation(_Foreign):
    id: int | None = None
    completed_by: int | str | dict[str, Any]
    result: list[Any]
    was_cancelled: bool = False
    created_at: str | None = Field(default=None, max_length=64)
    updated_at: str | None = Field(default=None, max_length=64)
    lead_time: float | None = Field(default=None, ge=0)


class _ForeignTask(_Foreign):
    id: int | None = None
    data: dict[str, Any]
    annotations: list[Any]
    drafts: list[Any] = Field(default_factory=list)


@dataclass(frozen=True)
class Annotation:
    """What one reviewer submitted for one task."""

    origin: str
    reviewer: str
    results: list[Any]
    is_skipped: bool
    created: str | None
    updated: str
    """ISO 8601; the later of two annotations of one reviewer counts."""
    lead_time_s: float | None


@dataclass(frozen=True)
class ExportedTask:
    """One task with what can be read of its annotations."""

    origin: str
    data: dict[str, Any]
    annotations: list[Annotation]
    num_drafts: int = 0
    problems: list[ReviewProblem] = field(default_factory=list)


def read_export(path: Path, controls: Mapping[str, str]) -> Iterator[ExportedTask | ReviewProblem]:
    """The tasks of an export; one that cannot be understood is a problem.

    Args:
        path: a file of Label Studio's export in the format JSON or JSON_MIN.
        controls: result type (`choices`, `textarea`, `timelinelabels`) by the name of every control; JSON_MIN keeps
            results under these names.

    Raises:
        UserError: the file cannot be read, is too large, or is no JSON list.
    """
    try:
        size = path.stat().st_size
        if size > MAX_EXPORT_BYTES:
            raise UserError(f"{path}: {size} bytes; an export may have {MAX_EXPORT_BYTES}. Export fewer tasks at once")
        with path.open("rb") as stream:
            for number, item in enumerate(_items(stream, path), start=1):
                yield _task(f"{path.name} task {number}", item, controls)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected an export of Label Studio") from None


def _items(stream: BinaryIO, path: Path) -> Iterator[Any]:
    """The members of the outermost list, one at a time in memory."""
    depth, num_values = 0, 0
    builder: Any = None
    try:
        for event, value in ijson.basic_parse(stream, use_float=True):
            if depth == 0:
                if event != "start_array":
                    raise UserError(f"{path}: is no list of tasks; export the project as JSON (or JSON-MIN)")
                depth = 1
                continue
            if depth == 1 and builder is None:
                if event == "end_array":
                    depth = 0
                    continue
                builder, num_values = ObjectBuilder(), 0
            builder.event(event, value)
            num_values += 1
            depth += (event in _BEGIN) - (event in _END)
            if depth > MAX_DEPTH or num_values > MAX_TASK_VALUES:
                raise UserError(
                    f"{path}: a task is nested deeper than {MAX_DEPTH} or has more than {MAX_TASK_VALUES} values; "
                    "this is no export of a review"
                )
            if depth == 1:
                yield builder.value
                builder = None
    except (ijson.JSONError, ValueError) as error:
        raise UserError(f"{path}: not valid JSON ({shown(str(error))}); export the project again") from None


def _task(origin: str, item: Any, controls: Mapping[str, str]) -> ExportedTask | ReviewProblem:
    if isinstance(item, dict) and "annotation_id" in item and "annotations" not in item:
        item = _from_json_min(item, controls)
    try:
        task = _ForeignTask.model_validate(item)
    except ValidationError as error:
        return ReviewProblem(origin, None, None, "bad_task", _first_error(error))
    annotations: list[Annotation] = []
    problems: list[ReviewProblem] = []
    for number, raw in enumerate(task.annotations, start=1):
        found = _annotation(f"{origin} annotation {number}", raw)
        if isinstance(found, Annotation):
            annotations.append(found)
        else:
            problems.append(found)
    return ExportedTask(origin, task.data, annotations, len(task.drafts), problems)


def _annotation(origin: str, raw: Any) -> Annotation | ReviewProblem:
    try:
        annotation = _ForeignAnnotation.model_validate(raw)
    except ValidationError as error:
        return ReviewProblem(origin, None, None, "bad_annotation", _first_error(error))
    reviewer = reviewer_name(annotation.completed_by)
    if reviewer is None:
        detail = "completed_by: expected a user's number, or an object with email or id"
        return ReviewProblem(origin, None, None, "bad_annotation", detail)
    return Annotation(
        origin=origin,
        reviewer=reviewer,
        results=annotation.result,
        is_skipped=annotation.was_cancelled,
        created=annotation.created_at,
        updated=annotation.updated_at or annotation.created_at or "",
        lead_time_s=annotation.lead_time,
    )


def reviewer_name(completed_by: int | str | dict[str, Any]) -> str | None:
    """`user-7` for an id; the e-mail address where the export has it; None for what names nobody."""
    found: Any = completed_by
    if isinstance(found, dict):
        found = found.get("email") or found.get("id")
    if isinstance(found, int) and not isinstance(found, bool):
        return f"user-{found}"
    if isinstance(found, str) and found.strip() and found.isprintable() and len(found) <= MAX_NAME_LENGTH:
        return found.strip()
    return None


def _from_json_min(row: Mapping[str, Any], controls: Mapping[str, str]) -> dict[str, Any]:
    """A row of JSON_MIN (one annotation, its results under the names of their controls) in the form of JSON."""
    results = [
        {"from_name": name, "type": kind, "value": value}
        for name, kind in controls.items()
        if name in row
        for value in _values(kind, row[name])
    ]
    own = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", *controls}
    annotation = {
        "id": row["annotation_id"],
        "completed_by": row.get("annotator"),
        "result": results,
        "created_at": row.get("created_at"),
        "updated_at": row.get("updated_at"),
        "lead_time": row.get("lead_time"),
    }
    return {
        "id": row.get("id"),
        "data": {key: value for key, value in row.items() if key not in own},
        "annotations": [] if row["annotation_id"] is None else [annotation],
    }


def _values(kind: str, found: Any) -> list[Any]:
    """The values of one control: JSON_MIN takes a lone choice or text out of its object and its list."""
    items = found if isinstance(found, list) else [found]
    key = {"choices": "choices", "textarea": "text"}.get(kind)
    return [{key: [item]} if key is not None and isinstance(item, str) else item for item in items]


def _first_error(error: ValidationError) -> str:
    item = error.errors(include_url=False, include_input=False)[0]
    return shown(f"{'.'.join(map(str, item['loc'])) or '(whole)'}: {item['msg']}")
