"""Simulated reviewers: from a project's tasks to what Label Studio 1.23.2 exports when they have submitted them."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Change = Callable[[str, list[Result]], list[Result]]
"""From a clip's id and its predictions to what is submitted."""


def choice(name: str, value: str, media: str = "video") -> Result:
    return {"id": name, "from_name": name, "to_name": media, "type": "choices", "value": {"choices": [value]}}


def text(task: str, value: str, media: str = "video") -> Result:
    name = f"{task}_correction"
    return {"id": name, "from_name": name, "to_name": media, "type": "textarea", "value": {"text": [value]}}


def mark(label: str, start: int, end: int | None = None) -> Result:
    value = {"ranges": [{"start": start, "end": start if end is None else end}], "timelinelabels": [label]}
    return {
        "id": f"{label}{start}",
        "from_name": "times",
        "to_name": "video",
        "type": "timelinelabels",
        "origin": "manual",
        "value": value,
    }


def replaced(results: list[Result], *new: Result) -> list[Result]:
    """Results with others in the place of those of the same control (of a mark: of the same label)."""

    def place(result: Result) -> tuple[str, str]:
        labels = result["value"].get("timelinelabels")
        return result["from_name"], labels[0] if labels else ""

    places = {place(result) for result in new}
    return [result for result in results if place(result) not in places] + list(new)


def as_it_is(clip_id: str, results: list[Result]) -> list[Result]:
    """The reviewer submits what was prefilled."""
    return results


def annotation(
    number: int, reviewer: int, results: list[Result], updated: str = "2026-11-25T19:01:49.406259Z", **more: Any
) -> dict[str, Any]:
    """One annotation with the keys that Label Studio 1.23.2 writes."""
    return {
        "id": number,
        "completed_by": reviewer,
        "result": results,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-11-25T19:01:49.406239Z",
        "updated_at": updated,
        "draft_created_at": None,
        "lead_time": 12.5,
        "prediction": {},
        "result_count": len(results),
        "unique_id": f"00000000-0000-0000-0000-{number:012}",
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "updated_by": reviewer,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
        **more,
    }


def export(tasks: Sequence[dict[str, Any]], reviewers: Mapping[int, Change]) -> list[dict[str, Any]]:
    """What Label Studio exports when each reviewer has submitted every task.

    Args:
        tasks: of `tasks.json`.
        reviewers: by their number.
    """
    rows = []
    for number, task in enumerate(tasks, start=1):
        predicted = task["predictions"][0]["result"] if task.get("predictions") else []
        annotations = [
            annotation(100 * number + who, who, change(task["data"]["clip_id"], copy.deepcopy(predicted)))
            for who, change in reviewers.items()
        ]
        rows.append(
            {
                "id": number,
                "annotations": annotations,
                "drafts": [],
                "predictions": [number],
                "data": copy.deepcopy(task["data"]),
                "meta": {},
                "created_at": "2026-11-25T19:01:49.072522Z",
                "updated_at": "2026-11-25T19:01:49.552596Z",
                "inner_id": number,
                "total_annotations": len(annotations),
                "cancelled_annotations": 0,
                "total_predictions": 1,
                "comment_count": 0,
                "project": 2,
                "updated_by": 1,
                "comment_authors": [],
            }
        )
    return rows


def json_min(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as JSON_MIN: a row an annotation, lone choices and texts without their objects."""
    found = []
    for row in rows:
        for item in row["annotations"]:
            flat: dict[str, Any] = {**row["data"], "id": row["id"]}
            for result in item["result"]:
                value = result["value"]
                if result["type"] == "timelinelabels":
                    flat.setdefault(result["from_name"], []).append(value)
                else:
                    (flat[result["from_name"]],) = value["choices" if result["type"] == "choices" else "text"]
            found.append(
                {
                    **flat,
                    "annotator": item["completed_by"],
                    "annotation_id": item["id"],
                    "created_at": item["created_at"],
                    "updated_at": item["updated_at"],
                    "lead_time": item["lead_time"],
                }
            )
    return found


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
