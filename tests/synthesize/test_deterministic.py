import pytest

from hazardline.synthesize.deterministic import annotate
from hazardline.tasks import NEGATIVE_ANSWERS, PROMPTS, TASKS
from tests.synthesize.scenes import scene

PROMPT_SET = PROMPTS["crashchat@1"]


def answers(row):
    return {pair.task: pair.answer for pair in annotate(row, "train", PROMPT_SET).pairs}


def test_a_crash_is_asked_all_six_tasks_in_order():
    pairs = annotate(scene("a"), "test", PROMPT_SET).pairs
    assert [pair.task for pair in pairs] == list(TASKS)
    assert [pair.answer for pair in pairs] == [
        "Yes",
        "ego-car hits a car.",
        "The driver followed too closely.",
        "Keep a safe distance.",
        "3.2 - 4.9 seconds",
        "2.0 seconds",
    ]
    first = pairs[0]
    assert (first.qa_id, first.split, first.prompt_version) == ("a/crash_recognition", "test", "crashchat@1")
    assert first.question == PROMPT_SET.questions["crash_recognition"] and first.is_positive


@pytest.mark.parametrize("label", ["near_miss", "normal"])
def test_a_clip_without_a_crash_gets_the_four_fixed_answers(label):
    row = scene("a", label, description="two cars come close", cause="speed")
    assert answers(row) == NEGATIVE_ANSWERS
    assert not any(pair.is_positive for pair in annotate(row, "train", PROMPT_SET).pairs)


def test_what_the_annotation_lacks_is_not_asked_and_named():
    row = scene("a", description=None, cause="  ", pre_crash_start_s=None, crash_end_s=None)
    annotation = annotate(row, "train", PROMPT_SET)
    assert [pair.task for pair in annotation.pairs] == ["crash_recognition", "prevention_reasoning"]
    assert annotation.unasked == [
        ("crash_description", "no description"),
        ("cause_reasoning", "no cause"),
        ("crash_localization", "no crash_start_s and crash_end_s"),
        ("pre_crash_localization", "no pre_crash_start_s"),
    ]
