"""Exports come from outside: whatever they hold, the good tasks are read and the bad ones are named."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.review import export_file
from hazardline.review.collect import Collected, collect
from hazardline.review.export_file import ExportedTask, read_export
from hazardline.review.problems import ReviewProblem
from hazardline.review.project import read_project, read_tasks
from hazardline.review.sample_document import ReviewSample
from tests.review.reviewers import annotation, as_it_is, export, write


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_export(path, {}))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"{}", "is no list of tasks"),
        (b'"text"', "is no list of tasks"),
        (b"[{]", "not valid JSON"),
        (b'[{"id": 1', "not valid JSON"),
        (b"[NaN]", "not valid JSON"),
        (b"\xff\xfe[]", "not valid JSON"),
        (b"[] []", "not valid JSON"),
        (b"[1" + b"0" * 400 + b"]", "not valid JSON"),
        (b"[" * 100_000, "nested deeper"),
        (b'[{"a":' * 5000, "nested deeper"),
        (b"[[" + b"1," * 300_000 + b"1]]", "more than 200000 values"),
        (b"id,annotations\n1,2\n", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_export_is_one_clear_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)
    assert message in refused(path)
    assert "\n" not in refused(path)


def test_size_and_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be read" in refused(tmp_path / "none.json")
    monkeypatch.setattr(export_file, "MAX_EXPORT_BYTES", 10)
    (tmp_path / "large.json").write_text("[" + " " * 20 + "]")
    assert "Export fewer tasks" in refused(tmp_path / "large.json")


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (1, "bad_task"),
        ({}, "bad_task"),
        ({"data": [], "annotations": []}, "bad_task"),
        ({"data": {}, "annotations": "none"}, "bad_task"),
        ({"data": {}, "annotations": [], "id": "1"}, "bad_task"),
        ({"data": {}, "annotations": [1]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"completed_by": None}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"completed_by": True}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"completed_by": {"name": "x"}}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"completed_by": "a\u0000b"}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"result": {}}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"was_cancelled": "no"}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"lead_time": -1}]}, "bad_annotation"),
        ({"data": {}, "annotations": [annotation(1, 1, []) | {"updated_at": "x" * 100}]}, "bad_annotation"),
    ],
)
def test_one_bad_task_is_named_and_the_next_one_is_read(task: Any, reason: str, tmp_path: Path) -> None:
    good = {"data": {"clip_id": "a"}, "annotations": [annotation(1, 7, [])]}
    path = write(tmp_path / "export.json", [task, good])
    first, second = read_export(path, {})
    problems = [first] if isinstance(first, ReviewProblem) else first.problems
    assert [problem.reason for problem in problems] == [reason]
    assert isinstance(second, ExportedTask)
    assert [item.reviewer for item in second.annotations] == ["user-7"]


def test_a_reviewer_is_named_by_mail_or_number() -> None:
    names = [export_file.reviewer_name(who) for who in (3, {"id": 4, "email": "a@b.org"}, {"id": 4}, " x ", "")]
    assert names == ["user-3", "a@b.org", "user-4", "x", None]


class Exported:
    """A project's sample, its export as text, and a folder to write to."""

    def __init__(self, sample: ReviewSample, text: str, folder: Path) -> None:
        self.sample, self.text, self.folder = sample, text, folder


def accounted(found: Collected, num_annotations: int) -> None:
    """Every annotation is used, or has a problem of its own."""
    whole = {"bad_annotation", "skipped", "superseded", "other_sample", "unknown_clip", "task_edited", "bad_task"}
    lost = [problem for problem in found.problems if problem.reason in whole and "annotation" in problem.origin]
    assert found.num_annotations == num_annotations == found.num_used + len(lost)


ODD = [None, True, -1, 0, 3.5, 1e308, 2**62, "", "x" * 5000, "\u0000", "wrong", [], [1], {}, {"id": []}, [[[]]]]


def mutate(value: Any, rng: random.Random) -> None:
    """Replace, remove or double something somewhere in a JSON value."""
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        child = value[key]
        if not isinstance(child, dict | list) or not child or rng.random() < 0.25:
            break
        value = child
    else:
        return
    action = rng.randrange(4)
    if action == 0 and isinstance(value, dict):
        del value[key]
    elif action == 1 and isinstance(value, list):
        value.append(copy.deepcopy(child))
    else:
        value[key] = copy.deepcopy(rng.choice(ODD))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32))
def test_mutated_exports_lose_nothing_without_a_reason(exported: Exported, seed: int) -> None:
    sample, text, folder = exported.sample, exported.text, exported.folder
    rng = random.Random(seed)
    rows = json.loads(text)
    for _ in range(rng.randint(1, 12)):
        mutate(rows, rng)
    rows = rows if isinstance(rows, list) else [rows]
    path = write(folder / "mutated.json", rows)
    found = collect(sample, [path])
    num = sum(
        len(row["annotations"])
        for row in rows
        if isinstance(row, dict)
        and isinstance(row.get("annotations"), list)
        and isinstance(row.get("data"), dict)
        and isinstance(row.get("drafts", []), list)
        and (row.get("id") is None or (isinstance(row["id"], int) and not isinstance(row["id"], bool)))
    )
    accounted(found, num)
    assert len(found.decisions) == len({(row.clip_id, row.task, row.reviewer) for row in found.decisions})


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_bytes_are_an_error_of_one_line_or_read(exported: Exported, seed: int) -> None:
    sample, text, folder = exported.sample, exported.text, exported.folder
    rng = random.Random(seed)
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 5)):
        place = rng.randrange(len(data))
        data[place : place + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
    path = folder / "damaged.json"
    path.write_bytes(bytes(data[: rng.randint(1, len(data))] if rng.random() < 0.3 else data))
    try:
        collect(sample, [path])
    except UserError as error:
        assert "\n" not in str(error)


@pytest.fixture(scope="module")
def exported(crash_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Of four clips, by two reviewers."""
    _, tasks = read_tasks(crash_project)
    rows = export(tasks[:4], {1: as_it_is, 2: as_it_is})
    return Exported(read_project(crash_project), json.dumps(rows), tmp_path_factory.mktemp("exports"))
