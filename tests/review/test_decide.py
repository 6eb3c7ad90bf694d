"""What one annotation means: decisions, marks, and what could not be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hazardline.hazardnet import format_classification, parse_classification
from hazardline.review.decide import Judge, Outcome
from hazardline.review.export_file import Annotation
from hazardline.review.labeling_tasks import prefilled, suite_named
from hazardline.review.project import read_project
from hazardline.review.sample_document import ReviewClip, ReviewSample
from tests.review.reviewers import choice, mark, replaced, text

Change = Callable[[list[dict[str, Any]]], list[Any]]


def clip_named(sample: ReviewSample, clip_id: str) -> ReviewClip:
    return next(clip for clip in sample.clips if clip.clip_id == clip_id)


def judged(project: Path, clip_id: str, change: Change, is_prefilled: bool = True) -> Outcome:
    """One reviewer's annotation of one clip, made from what was prefilled."""
    sample = read_project(project)
    suite, clip = suite_named(sample.suite), clip_named(sample, clip_id)
    results = change(prefilled(clip, suite))
    annotation = Annotation("export.json task 1 annotation 1", "user-1", results, False, "2026-11-25", "", 12.5)
    return Judge(suite, clip, annotation, is_prefilled).judge()


def ranges(items: list[Any], *labels: str) -> dict[str, Any]:
    return mark("crash", 1) | {"value": {"ranges": items, "timelinelabels": list(labels or ("crash",))}}


def said(outcome: Outcome) -> dict[str, str]:
    return {row.task: row.decision for row in outcome.decisions}


def reasons(outcome: Outcome) -> list[str]:
    return [problem.reason for problem in outcome.problems]


@pytest.mark.parametrize(("name", "clip_id"), [("crash_project", "crash-01"), ("image_project", "image-01")])
def test_what_is_left_as_it_was_is_correct(name: str, clip_id: str, request: pytest.FixtureRequest) -> None:
    project = request.getfixturevalue(name)
    outcome = judged(project, clip_id, list)
    pairs = clip_named(read_project(project), clip_id).pairs
    assert said(outcome) == {pair.task: "correct" for pair in pairs}
    assert outcome.problems == []
    assert {row.lead_time_s for row in outcome.decisions} == {12.5}


def test_untouched_marks_keep_the_exact_time_of_the_annotation(crash_project: Path) -> None:
    """The crash starts at 3.31 s, between two frames; leaving it alone must not move it to a frame."""
    outcome = judged(crash_project, "crash-01", list)
    times = {mark.mark: (mark.time_s, mark.is_prefilled) for mark in outcome.marks}
    assert times == {"pre_crash": (2.04, True), "crash_start": (3.31, True), "crash_end": (4.96, True)}
    (crash,) = [row for row in outcome.decisions if row.task == "crash_localization"]
    assert (crash.start_s, crash.end_s, crash.corrected_answer) == (3.31, 4.96, None)


def test_a_moved_mark_is_wrong_with_the_new_time(crash_project: Path) -> None:
    outcome = judged(crash_project, "crash-01", lambda found: replaced(found, mark("crash", 91, 150)))
    (crash,) = [row for row in outcome.decisions if row.task == "crash_localization"]
    assert (crash.decision, crash.start_s, crash.end_s) == ("wrong", 3.0, 4.96), "the end was left where it was"
    assert crash.corrected_answer == "3.0 - 5.0 seconds"
    assert {mark.mark: mark.is_prefilled for mark in outcome.marks} == {
        "pre_crash": True,
        "crash_start": False,
        "crash_end": True,
    }


def test_a_removed_mark_is_wrong_without_a_correction(crash_project: Path) -> None:
    outcome = judged(crash_project, "crash-01", lambda found: [r for r in found if r["type"] != "timelinelabels"])
    assert said(outcome)["crash_localization"] == said(outcome)["pre_crash_localization"] == "wrong"
    assert all(row.corrected_answer is None for row in outcome.decisions)
    assert outcome.marks == []


def test_a_blind_reviewer_who_marks_nothing_has_not_decided(crash_project: Path) -> None:
    outcome = judged(crash_project, "crash-01", lambda found: [], is_prefilled=False)
    assert said(outcome) == {}
    assert reasons(outcome) == ["missing_decision"] * 6


def test_a_blind_mark_is_an_opinion_even_where_it_agrees(crash_project: Path) -> None:
    outcome = judged(crash_project, "crash-01", list, is_prefilled=False)
    assert said(outcome)["pre_crash_localization"] == "correct"
    assert not any(mark.is_prefilled for mark in outcome.marks)


def test_several_marks_are_kept_and_decide_nothing(crash_project: Path) -> None:
    outcome = judged(crash_project, "crash-01", lambda found: [*found, mark("pre-crash", 31), mark("pre-crash", 46)])
    assert said(outcome)["pre_crash_localization"] == "unclear"
    assert [mark.time_s for mark in outcome.marks if mark.mark == "pre_crash"] == [2.04, 1.0, 1.5]
    assert reasons(outcome) == ["several_results"]


def test_recognition(crash_project: Path) -> None:
    def answered(clip_id: str, value: str) -> tuple[str, str | None]:
        outcome = judged(crash_project, clip_id, lambda found: replaced(found, choice("crash_recognition", value)))
        (row,) = [row for row in outcome.decisions if row.task == "crash_recognition"]
        return row.decision, row.corrected_answer

    assert answered("crash-01", "Yes") == ("correct", None)
    assert answered("crash-01", "No") == ("wrong", "No")
    assert answered("near-01", "Yes") == ("wrong", "Yes")
    assert answered("crash-01", "unsure") == ("unclear", None)


def test_texts(crash_project: Path) -> None:
    def answered(*results: dict[str, Any]) -> tuple[str, str | None, list[str]]:
        outcome = judged(crash_project, "crash-01", lambda found: replaced(found, *results))
        (row,) = [row for row in outcome.decisions if row.task == "crash_description"]
        return row.decision, row.corrected_answer, reasons(outcome)

    task = "crash_description"
    assert answered(choice(task, "wrong"), text(task, " car hits\na truck. ")) == ("wrong", "car hits a truck.", [])
    assert answered(choice(task, "wrong")) == ("wrong", None, [])
    assert answered(choice(task, "unclear")) == ("unclear", None, [])
    assert answered(text(task, "car hits a truck.")) == ("correct", None, ["correction_not_used"])
    same = answered(choice(task, "wrong"), text(task, "ego-car hits a car."))
    assert same == ("wrong", None, ["correction_not_used"])


def test_classification(image_project: Path) -> None:
    answer = next(
        pair.answer
        for pair in clip_named(read_project(image_project), "image-01").pairs
        if pair.task == "scene_classification"
    )
    values = parse_classification(answer)
    assert values is not None and values["AgentClassification"] == "Pedestrian"

    def answered(change: Change) -> Outcome:
        return judged(image_project, "image-01", change)

    other = answered(lambda found: replaced(found, choice("AgentClassification", "Cyclist", "image")))
    (row,) = [row for row in other.decisions if row.task == "scene_classification"]
    assert row.corrected_answer == format_classification({**values, "AgentClassification": "Cyclist"})
    unsure = answered(lambda found: replaced(found, choice("IsThereRisk", "unsure", "image")))
    assert said(unsure)["scene_classification"] == "unclear"
    missing = answered(lambda found: [r for r in found if r["from_name"] != "SuggestedAction"])
    assert "scene_classification" not in said(missing)
    assert [problem.detail for problem in missing.problems] == ["scene_classification: SuggestedAction"]


def test_marks_of_a_clip_that_was_not_asked_are_added(crash_project: Path) -> None:
    outcome = judged(crash_project, "near-00", lambda found: [*found, mark("crash", 31, 41), mark("pre-crash", 11)])
    added = [row for row in outcome.decisions if row.decision == "added"]
    assert [(row.task, row.answer, row.corrected_answer) for row in added] == [
        ("crash_localization", None, "3.0 - 4.0 seconds"),
        ("pre_crash_localization", None, "1.0 seconds"),
    ]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (1, "bad_result"),
        ({"from_name": "times"}, "bad_result"),
        (choice("crash_recognition", "Maybe"), "bad_result"),
        (choice("crash_recognition", "Yes") | {"value": {"choices": ["Yes", "No"]}}, "bad_result"),
        (choice("crash_recognition", "Yes") | {"value": {"choices": [{}]}}, "bad_result"),
        (choice("crash_recognition", "No"), "several_results"),
        (choice("weather", "rain"), "unknown_control"),
        (choice("times", "crash"), "unknown_control"),
        (text("crash_description", "x" * 5000), "bad_result"),
        (text("crash_description", "\u202e"), "bad_result"),
        (text("crash_description", "") | {"value": {"text": [1]}}, "bad_result"),
        (mark("collision", 3), "bad_result"),
        (mark("crash", 0, 5), "outside_clip"),
        (mark("crash", 5, 242), "outside_clip"),
        (mark("crash", 9, 5), "bad_result"),
        (ranges([]), "bad_result"),
        (ranges([{"start": 1.5, "end": 2}]), "bad_result"),
        (ranges([{"start": True, "end": 2}]), "bad_result"),
        (ranges([{"start": 10**400, "end": 2}]), "bad_result"),
        (ranges([{"start": 1, "end": 2}], "crash", "pre-crash"), "bad_result"),
    ],
)
def test_a_result_that_makes_no_sense_is_named_and_the_others_count(
    result: Any, reason: str, crash_project: Path
) -> None:
    outcome = judged(crash_project, "crash-01", lambda found: [*found, result])
    assert reasons(outcome) == [reason]
    assert set(said(outcome).values()) == {"correct"}


def test_what_was_not_asked_is_not_a_decision(crash_project: Path) -> None:
    outcome = judged(crash_project, "crash-00", lambda found: [*found, choice("prevention_reasoning", "wrong")])
    assert reasons(outcome) == ["not_asked"]
    assert "prevention_reasoning" not in said(outcome)
