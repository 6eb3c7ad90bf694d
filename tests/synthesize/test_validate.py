from dataclasses import replace

import pytest

from hazardline.errors import UserError
from hazardline.synthesize.config import ValidationRules
from hazardline.synthesize.deterministic import annotate
from hazardline.synthesize.validate import Refusals, validate
from hazardline.tasks import PROMPTS
from tests.synthesize.scenes import scene

PROMPT_SET = PROMPTS["crashchat@1"]
RULES = ValidationRules()
SCENES = {"c": scene("c"), "n": scene("n", "near_miss")}


def pair(clip_id, task):
    found = annotate(SCENES[clip_id], "train", PROMPT_SET).pairs
    return next(item for item in found if item.task == task)


def reason(item, clip_id=None):
    found = validate([item], SCENES[clip_id or item.clip_id], PROMPT_SET, RULES)
    assert len(found.accepted) + len(found.rejected) == 1
    return found.rejected[0].reason if found.rejected else None


def test_everything_the_annotator_writes_is_accepted():
    for row in SCENES.values():
        pairs = annotate(row, "train", PROMPT_SET).pairs
        found = validate(pairs, row, PROMPT_SET, RULES)
        assert found.accepted == pairs and found.rejected == []


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
    assert reason(replace(pair("c", task), **change), "c") == expected


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
    found = validate([first, replace(first, answer="car hits a truck.")], SCENES["c"], PROMPT_SET, RULES)
    assert found.accepted == [first]
    assert [item.reason for item in found.rejected] == ["duplicate"]


def test_rounding_may_carry_a_time_past_the_end_by_half_a_step():
    row = scene("c", duration_s=4.86)
    pairs = annotate(row, "train", PROMPT_SET).pairs
    assert validate(pairs, row, PROMPT_SET, RULES).rejected == []


def test_the_limit_names_counts_and_cases():
    bad = {
        "c": replace(pair("c", "crash_description"), answer=""),
        "n": replace(pair("n", "cause_reasoning"), answer="x"),
    }
    found = Refusals()
    assert found.rejected_share == 0.0
    for clip_id, item in bad.items():
        found.add(validate([pair(clip_id, "crash_recognition"), item], SCENES[clip_id], PROMPT_SET, RULES))
    found.check_limit(0.5)
    with pytest.raises(UserError, match=r"2 of 4 .*50.0%.*max_rejected_share") as caught:
        found.check_limit(0.4)
    assert "empty_answer: 1, first c/crash_description" in str(caught.value)
    assert "wrong_negative_answer: 1, first n/cause_reasoning" in str(caught.value)
