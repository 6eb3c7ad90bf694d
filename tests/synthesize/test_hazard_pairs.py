from dataclasses import replace

import pytest

from hazardline.hazardnet import CLASSIFICATION, HAZARDNET_PROMPTS, TOPICS, format_classification
from hazardline.synthesize.config import ValidationRules
from hazardline.synthesize.deterministic_images import annotate
from hazardline.synthesize.validate import PUBLISHED, validate, whole_scene
from tests.synthesize.images import image, thing, truth

PROMPTS = HAZARDNET_PROMPTS["hazardnet-short@1"]
RULES = ValidationRules()
STILLS = {"risk": truth(thing(ahead_m=8.0)), "free": truth(), "highway": truth(thing(ahead_m=8.0), road="highway")}
SCENES = {name: image(name, still) for name, still in STILLS.items()}


def pairs(name):
    return annotate(SCENES[name], "train", PROMPTS).pairs


def classification(*values):
    names = ("SceneClassification", "AgentClassification", "SuggestedAction", "IsThereRisk")
    return format_classification(dict(zip(names, values, strict=True)))


def reason(item):
    found = validate([item], SCENES[item.clip_id], PROMPTS, RULES)
    return found.rejected[0].reason if found.rejected else None


def test_everything_the_annotator_writes_is_accepted():
    for name, row in SCENES.items():
        found = validate(pairs(name), row, PROMPTS, RULES)
        assert found.accepted == pairs(name) and found.rejected == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"question": "What?"}, "wrong_question"),
        ({"answer": "{}"}, "wrong_answer_form"),
        ({"answer": classification("Urban road", "Vehicle", "Must Stop", "Yes") + " "}, "wrong_answer_form"),
        ({"answer": classification("Urban road", "N/A", "N/A", "No")}, "wrong_sign"),
        ({"answer": classification("Urban road", "N/A", "Must Stop", "Yes")}, "inconsistent_classification"),
        ({"answer": classification("Urban road", "Vehicle", "N/A", "Yes")}, "inconsistent_classification"),
        ({"is_positive": False}, "wrong_sign"),
        ({"task": "crash_recognition"}, "unknown_task"),
        ({"answer": classification("Narrow lane", "Vehicle", "Yield", "Yes")}, None),
    ],
)
def test_each_guard_on_a_classification(change, expected):
    item = next(item for item in pairs("risk") if item.task == CLASSIFICATION)
    assert reason(replace(item, **change)) == expected


def test_a_classification_without_risk_has_no_agent():
    item = next(item for item in pairs("free") if item.task == CLASSIFICATION)
    wrong = classification("Urban road", "Vehicle", "N/A", "No")
    assert reason(replace(item, answer=wrong)) == "inconsistent_classification"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"question": " "}, "empty_question"),
        ({"answer": "A red car is near."}, "wrong_answer_form"),
        ({"answer": " Answer: Yes"}, "wrong_answer_form"),
        ({"answer": "Because. Answer: "}, "wrong_answer_form"),
        ({"question": "Is it a van or a car?", "answer": "A van is near. Answer: Van"}, "answer_in_question"),
        ({"question": "Is it a caravan?", "answer": "A van is near. Answer: van"}, None),
        ({"is_positive": False}, "wrong_sign"),
        ({"qa_id": "risk/other"}, "wrong_id"),
    ],
)
def test_each_guard_on_a_topic(change, expected):
    assert reason(replace(pairs("risk")[0], **change)) == expected


def test_no_image_is_asked_more_than_five_topics():
    topics = [item for item in pairs("free") if item.task in TOPICS]
    missing = [task for task in TOPICS if task not in {item.task for item in topics}]
    more = [*topics, *(replace(topics[0], task=task, qa_id=f"free/{task}") for task in missing)]
    found = validate(more, SCENES["free"], PROMPTS, RULES)
    assert found.accepted == topics
    assert [item.reason for item in found.rejected] == ["too_many_topics"] * 2


def test_the_second_of_two_is_the_duplicate():
    first = pairs("risk")[0]
    assert [item.reason for item in validate([first, first], SCENES["risk"], PROMPTS, RULES).rejected] == ["duplicate"]


def test_an_image_left_with_fewer_than_five_topics_is_put_aside_whole():
    items = pairs("risk")
    assert sum(item.task in TOPICS for item in items) == 5 and items[-1].task == CLASSIFICATION
    found = whole_scene(validate([replace(items[0], answer="No form."), *items[1:]], SCENES["risk"], PROMPTS, RULES))
    assert found.accepted == []
    assert [(item.pair.task, item.reason) for item in found.rejected] == [
        (items[0].task, "wrong_answer_form"),
        *((item.task, "incomplete_scene") for item in items[1:]),
    ]
    assert "4 of the 5 pairs" in found.rejected[-1].detail
    too_few = whole_scene(validate(items[1:], SCENES["risk"], PROMPTS, RULES))  # one could not be asked
    assert {item.reason for item in too_few.rejected} == {"incomplete_scene"} and too_few.accepted == []


def test_only_what_an_annotator_wrote_must_be_whole():
    items = pairs("risk")
    whole = validate(items, SCENES["risk"], PROMPTS, RULES)
    assert whole_scene(whole) == whole
    published = [replace(item, annotator=PUBLISHED) for item in items[1:]]
    some = validate(published, SCENES["risk"], PROMPTS, RULES)
    assert len(some.accepted) == 5 and whole_scene(some) == some
    classified = validate(items[-1:], SCENES["risk"], PROMPTS, RULES)
    assert classified.accepted == items[-1:] and whole_scene(classified) == classified
