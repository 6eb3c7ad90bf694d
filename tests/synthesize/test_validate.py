from dataclasses import replace

import pytest

from hazardline.errors import UserError
from hazardline.synthesize.deterministic import annotate
from hazardline.synthesize.validate import validate
from hazardline.tasks import PROMPTS
from tests.synthesize.scenes import scene

PROMPT_SET = PROMPTS["crashchat@1"]
SCENES = {"c": scene("c"), "n": scene("n", "near_miss")}


def pair(clip_id, task):
    found = annotate(SCENES[clip_id], "train", PROMPT_SET).pairs
    return next(item for item in found if item.task == task)


def reason(item):
    found = validate([item], SCENES, PROMPT_SET)
    assert len(found.accepted) + len(found.rejected) == 1
    return found.rejected[0].reason if found.rejected else None


def test_everything_the_annotator_writes_is_accepted():
    pairs = [item for row in SCENES.values() for item in annotate(row, "train", PROMPT_SET).pairs]
    found = validate(pairs, SCENES, PROMPT_SET)
    assert found.accepted == pairs and found.rejected == [] and found.rejected_share == 0.0


@pytest.mark.parametrize(
    ("task", "change", "expected"),
    [
        ("crash_recognition", {"answer": "yes"}, "wrong_answer_form"),
        ("crash_recognition", {"answer": "No"}, "negative_answer_for_crash"),
        ("crash_description", {"answer": "No collision"}, "negative_answer_for_crash"),
        ("crash_description", {"answer": " "}, "empty_answer"),
        ("crash_description", {"question": "What?"}, "wrong_question"),
        ("crash_description", {"prompt_version": "crashchat-short@1"}, "wrong_question"),
        ("crash_description", {"is_positive": False}, "wrong_sign"),
        ("crash_description", {"qa_id": "c/other"}, "wrong_id"),
        ("crash_description", {"task": "poetry"}, "unknown_task"),
        ("crash_description", {"clip_id": "x"}, "unknown_clip"),
        ("crash_localization", {"answer": "3.2 - 4.9"}, "wrong_answer_form"),
        ("crash_localization", {"answer": "3.25 - 4.9 seconds"}, "wrong_answer_form"),
        ("crash_localization", {"answer": "4.9 - 3.2 seconds"}, "times_out_of_order"),
        ("crash_localization", {"answer": "3.2 - 3.2 seconds"}, "times_out_of_order"),
        ("crash_localization", {"answer": "3.2 - 8.1 seconds"}, "times_outside_clip"),
        ("crash_localization", {"answer": "3.2 - 8.0 seconds"}, None),
        ("pre_crash_localization", {"answer": "3.2 - 4.9 seconds"}, "wrong_answer_form"),
        ("pre_crash_localization", {"answer": "9.0 seconds"}, "times_outside_clip"),
        ("pre_crash_localization", {"answer": "3.4 seconds"}, "times_out_of_order"),
        ("pre_crash_localization", {"answer": "3.2 seconds"}, None),
    ],
)
def test_each_guard_on_a_crash(task, change, expected):
    assert reason(replace(pair("c", task), **change)) == expected


@pytest.mark.parametrize(
    ("task", "change", "expected"),
    [
        ("cause_reasoning", {"answer": "No accident, no cause"}, "wrong_negative_answer"),
        ("crash_recognition", {"answer": "Yes"}, "wrong_negative_answer"),
        ("crash_recognition", {"is_positive": True}, "wrong_sign"),
    ],
)
def test_each_guard_on_a_clip_without_a_crash(task, change, expected):
    assert reason(replace(pair("n", task), **change)) == expected


def test_localization_of_a_negative_is_refused():
    asked = replace(pair("c", "crash_localization"), clip_id="n", qa_id="n/crash_localization", is_positive=False)
    assert reason(asked) == "localization_of_negative"


def test_the_second_of_two_is_the_duplicate():
    first = pair("c", "crash_description")
    found = validate([first, replace(first, answer="car hits a truck.")], SCENES, PROMPT_SET)
    assert found.accepted == [first]
    assert [item.reason for item in found.rejected] == ["duplicate"]


def test_rounding_may_carry_a_time_past_the_end_by_half_a_step():
    scenes = {"c": scene("c", duration_s=4.86)}
    pairs = annotate(scenes["c"], "train", PROMPT_SET).pairs
    assert validate(pairs, scenes, PROMPT_SET).rejected == []


def test_the_limit_names_counts_and_cases():
    bad = [replace(pair("c", "crash_description"), answer=""), replace(pair("n", "cause_reasoning"), answer="speed")]
    found = validate([pair("c", "crash_recognition"), *bad], SCENES, PROMPT_SET)
    found.check_limit(0.7)
    with pytest.raises(UserError, match=r"2 of 3 .*66.7%.*max_rejected_share") as caught:
        found.check_limit(0.5)
    assert "empty_answer: 1, first c/crash_description" in str(caught.value)
    assert "wrong_negative_answer: 1, first n/cause_reasoning" in str(caught.value)
