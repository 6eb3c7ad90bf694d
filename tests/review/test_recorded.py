"""Exports that Label Studio 1.23.2 itself wrote (JSON and JSON_MIN) of a project of simulated rows, with two reviewers.

`tests/review/recorded` holds three tasks of them as they were written, and the sample that they belong to. The second
reviewer moved the crash of one clip and corrected its cause; everything else was left as it was prefilled.
"""

import json
from pathlib import Path

import pytest

from hazardline.review.collect import collect
from hazardline.review.sample_document import ReviewSample
from tests.review.reviewers import annotation, as_it_is, export, json_min

RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize("name", ["export.json", "export_min.json"])
def test_what_label_studio_wrote_is_read(name: str) -> None:
    sample = ReviewSample.read(RECORDED / "sample.json")
    found = collect(sample, [RECORDED / name], keep_names=True)
    assert (found.num_annotations, found.num_used, found.problems) == (6, 6, [])
    said = {(row.clip_id, row.task, row.reviewer): row for row in found.decisions}
    wrong = {key: row.corrected_answer for key, row in said.items() if row.decision != "correct"}
    assert wrong == {
        ("crash-00", "crash_localization", "user-2"): "3.0 - 5.0 seconds",
        ("crash-00", "cause_reasoning", "user-2"): "Ice on the road.",
    }
    crash = said["crash-00", "crash_localization", "user-2"]
    assert (crash.start_s, crash.lead_time_s) == (3.0, 30.0)
    assert crash.created is not None and crash.created.endswith("Z")
    times = {(mark.reviewer, mark.mark): mark.time_s for mark in found.marks}
    assert times["user-1", "crash_start"] == 3.21 and times["user-2", "crash_start"] == 3.0


def test_the_simulated_reviewers_write_what_label_studio_writes() -> None:
    """The doubles of the other tests have the keys of the real thing."""
    (task, *_) = json.loads((RECORDED / "export.json").read_text())
    rows = json.loads((RECORDED / "export_min.json").read_text())
    row = next(row for row in rows if row["annotation_id"] == task["annotations"][0]["id"])
    predictions = [{"result": task["annotations"][0]["result"]}]
    doubles = export([{"data": task["data"], "predictions": predictions}], {1: as_it_is})
    assert set(doubles[0]) <= set(task)
    assert set(annotation(1, 1, [])) <= set(task["annotations"][0])
    assert {key: type(value) for key, value in json_min(doubles)[0].items()} == {
        key: type(value) for key, value in row.items()
    }
