"""From a sample to simulated reviewers' exports and back: what they planned is what is read."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.files import sha256_tree
from hazardline.review.collect import collect, pseudonym
from hazardline.review.frames import time_of
from hazardline.review.project import read_project, read_tasks
from hazardline.review.results import write_results
from hazardline.review.review_document import Review
from hazardline.review.tables import DECISIONS, MARKS, REVIEW_PROBLEMS
from hazardline.tables import read_table
from tests.review.reviewers import annotation, as_it_is, choice, export, json_min, mark, replaced, text, write

TEXTS = ("crash_description", "cause_reasoning", "prevention_reasoning")
plans = st.fixed_dictionaries(
    {
        "recognition": st.sampled_from(["Yes", "No", "unsure"]),
        "texts": st.tuples(*[st.sampled_from(["correct", "wrong", "unclear"])] * 3),
        "correction": st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=30),
        "crash": st.one_of(st.none(), st.tuples(st.integers(1, 120), st.integers(0, 100))),
        "pre_crash": st.one_of(st.none(), st.integers(1, 240)),
    }
)


def submitted(plan: dict[str, Any], results: list[dict[str, Any]], asked: set[str]) -> list[dict[str, Any]]:
    new = [choice("crash_recognition", plan["recognition"])]
    for task, verdict in zip(TEXTS, plan["texts"], strict=True):
        if task in asked:
            new.append(choice(task, verdict))
            if verdict == "wrong" and plan["correction"].strip():
                new.append(text(task, plan["correction"]))
    found = [result for result in replaced(results, *new) if result["type"] != "timelinelabels"]
    if plan["crash"] is not None:
        found.append(mark("crash", plan["crash"][0], sum(plan["crash"])))
    if plan["pre_crash"] is not None:
        found.append(mark("pre-crash", plan["pre_crash"]))
    return found


@settings(max_examples=50, deadline=None)
@given(st.lists(plans, min_size=2, max_size=2), st.booleans())
def test_what_reviewers_planned_is_what_is_read(small: "Small", plan: list[dict[str, Any]], is_min: bool) -> None:
    """Crashes at 30 frames a second, two reviewers, JSON and JSON_MIN."""
    sample = read_project(small.project)
    pairs = {clip.clip_id: {pair.task: pair for pair in clip.pairs} for clip in sample.clips}
    rows = export(
        small.tasks,
        {who + 1: lambda clip, found, who=who: submitted(plan[who], found, set(pairs[clip])) for who in (0, 1)},
    )
    found = collect(sample, [write(small.folder / "export.json", json_min(rows) if is_min else rows)], keep_names=True)
    assert found.num_used == found.num_annotations == 2 * len(small.tasks)
    by_key = {(row.clip_id, row.reviewer, row.task): row for row in found.decisions}
    for clip_id, asked in pairs.items():
        for who in (0, 1):
            said = {task: by_key[clip_id, f"user-{who + 1}", task] for task in asked}
            chosen = plan[who]["recognition"]
            expected = {"Yes": "correct", "No": "wrong", "unsure": "unclear"}[chosen]
            assert said["crash_recognition"].decision == expected
            for task, verdict in zip(TEXTS, plan[who]["texts"], strict=True):
                if task in asked:
                    assert said[task].decision == verdict
                    correction = " ".join(plan[who]["correction"].split()) or None
                    assert said[task].corrected_answer == (correction if verdict == "wrong" else None)
            if plan[who]["crash"] is not None:
                first, length = plan[who]["crash"]
                crash = said["crash_localization"]
                assert crash.start_s == pytest.approx(time_of(first, 30.0), abs=1 / 60)
                assert crash.end_s == pytest.approx(time_of(first + length, 30.0), abs=1 / 60)
            start = plan[who]["pre_crash"]
            pre_crash = said["pre_crash_localization"]
            assert pre_crash.decision == ("correct" if start == 62 else "wrong")
            assert pre_crash.start_s == (None if start is None else 2.04 if start == 62 else time_of(start, 30.0))


def test_both_forms_say_the_same(small: "Small") -> None:
    sample = read_project(small.project)
    rows = export(small.tasks, {1: as_it_is, 2: lambda clip, found: replaced(found, mark("crash", 10, 20))})
    full = collect(sample, [write(small.folder / "full.json", rows)])
    flat = collect(sample, [write(small.folder / "flat.json", json_min(rows))])
    assert full.decisions == flat.decisions
    assert full.marks == flat.marks


def test_which_annotations_count(small: "Small") -> None:
    """Skipped, superseded, unknown, edited and foreign ones do not, each with its reason."""
    sample = read_project(small.project)
    rows = export(small.tasks, {1: as_it_is})
    results = rows[0]["annotations"][0]["result"]
    later = annotation(900, 1, replaced(results, choice("crash_recognition", "No")), "2026-12-01T00:00:00Z")
    earlier = annotation(901, 1, [], "2026-01-01T00:00:00Z")
    rows[0]["annotations"] += [later, earlier, annotation(902, 2, results, was_cancelled=True)]
    rows[0]["drafts"] = [{"result": []}]
    rows[1]["data"]["crash_description_answer"] = "edited"
    rows[2]["data"]["sample"] = "0" * 16
    unknown = json.loads(json.dumps(rows[0]))
    unknown["data"]["clip_id"] = "another"
    bare = json.loads(json.dumps(rows[0])) | {"annotations": [], "drafts": []}
    found = collect(sample, [write(small.folder / "odd.json", [*rows, unknown, bare])], keep_names=True)
    counts: dict[str, int] = {}
    for problem in found.problems:
        counts[problem.reason] = counts.get(problem.reason, 0) + 1
    assert counts == {
        "superseded": 2,
        "skipped": 1,
        "draft": 1,
        "task_edited": 1,
        "other_sample": 1,
        "unknown_clip": 4,
        "not_annotated": 1,
    }
    assert found.num_annotations == found.num_used + 9
    (row,) = [
        row for row in found.decisions if (row.clip_id, row.task) == (rows[0]["data"]["clip_id"], "crash_recognition")
    ]
    assert row.decision == "wrong", "the annotation that was changed last counts"


def test_names_are_hidden_unless_they_are_to_be_kept(small: "Small") -> None:
    sample = read_project(small.project)
    rows = export(small.tasks, {1: as_it_is})
    for row in rows:
        row["annotations"][0]["completed_by"] = {"id": 1, "email": "someone@example.org"}
    rows[0]["annotations"].append(annotation(5, 1, []) | {"completed_by": {"email": ["someone@example.org"]}})
    path = write(small.folder / "names.json", rows)
    hidden, kept = collect(sample, [path]), collect(sample, [path], keep_names=True)
    assert "someone" not in json.dumps([[asdict(row) for row in part] for part in (hidden.decisions, hidden.problems)])
    assert {row.reviewer for row in kept.decisions} == {"someone@example.org"}
    assert {row.reviewer for row in hidden.decisions} == {pseudonym("someone@example.org", sample.sample_id())}


def test_results_are_tables_a_document_and_a_page(small: "Small", tmp_path: Path) -> None:
    sample = read_project(small.project)
    script = "<script>alert(1)</script>"

    def critical(clip_id: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        wrong = replaced(found, choice("crash_description", "wrong"), text("crash_description", script))
        return replaced(wrong, mark("crash", 70, 130), mark("pre-crash", 50))

    path = write(tmp_path / "export.json", export(small.tasks, {1: as_it_is, 2: critical}))
    for name in ("one", "two"):
        review = write_results(sample, [path], tmp_path / name, num_resamples=200)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert Review.read(tmp_path / "one/review.json") == review
    decisions = read_table(DECISIONS, tmp_path / "one")
    assert review.num_decisions == len(decisions) == 2 * sum(len(clip.pairs) for clip in sample.clips)
    marks = read_table(MARKS, tmp_path / "one")
    assert {row["source"] for row in marks} == {"annotation", "reviewer"}
    assert sum(row["source"] == "annotation" for row in marks) == 3 * len(sample.clips)
    assert read_table(REVIEW_PROBLEMS, tmp_path / "one") == []
    page = (tmp_path / "one/report.html").read_text()
    assert script not in page and "&lt;script&gt;" in page
    assert "crash-00: crash, 8.0 s" in page and page.count('class="strip"') == len(sample.clips)


def test_an_export_of_another_project_is_refused_as_a_whole(
    small: "Small", image_project: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "export.json", export(small.tasks, {1: as_it_is}))
    with pytest.raises(UserError, match=r"no annotation of this sample \(other_sample"):
        write_results(read_project(image_project), [path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Small:
    """A project of crashes alone, its tasks, and a folder to write to."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.folder = project, folder
        self.tasks = read_tasks(project)[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    from hazardline.review.media import MediaPlan
    from hazardline.review.project import write_project
    from tests.review.runs import crash_scenes, write_run

    root = tmp_path_factory.mktemp("small")
    inputs = write_run(root / "run", [row for row in crash_scenes(4) if row["label"] == "crash"])
    write_project(inputs, root / "project", 10, 0, MediaPlan())
    return Small(root / "project", root)
