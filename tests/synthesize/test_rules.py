from dataclasses import replace

import pytest

from hazardline.hazardnet import HAZARDNET_PROMPTS, TOPICS, format_reply
from hazardline.synthesize.agents import kinds_known, kinds_named, unknown_kinds
from hazardline.synthesize.config import ValidationRules
from hazardline.synthesize.deterministic import annotate
from hazardline.synthesize.pair import QaPair, qa_id
from hazardline.synthesize.validate import validate
from hazardline.synthesize.wording import is_english, similarity
from hazardline.tasks import PROMPTS
from tests.synthesize.images import image, thing, truth
from tests.synthesize.scenes import scene

PROMPT_SET = PROMPTS["crashchat@1"]
IMAGE_PROMPTS = HAZARDNET_PROMPTS["hazardnet@1"]


def crash(rules=None, agents=(), **answers):
    """What is refused of a crash whose annotator gave these answers."""
    row = scene("c", agents=list(agents))
    pairs = [
        replace(item, answer=answers.get(item.task, item.answer)) for item in annotate(row, "train", PROMPT_SET).pairs
    ]
    found = validate(pairs, row, PROMPT_SET, rules or ValidationRules())
    assert len(found.accepted) + len(found.rejected) == len(pairs)
    return {item.pair.task: item.reason for item in found.rejected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The ego-car hits a car.", {"car"}),
        ("Our car is hit by two lorries and a minivan.", {"truck", "van"}),
        ("A scarecrow in the carpet shop.", set()),
        ("There is no pedestrian or cyclist; a bus stands at the kerb.", {"bus"}),
        ("A pedestrian may step out, but the SUV stops.", {"car"}),
        ("The car stops at the pedestrian crossing behind the bus stop.", {"car"}),
        ("Motorcyclists and bicycles ride on.", {"motorcycle", "cyclist"}),
        ("The vehicle's driver looks at a bike.", set()),
    ],
)
def test_the_kinds_that_a_text_names(text, expected):
    assert kinds_named(text) == expected


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        ([], None),
        (["car", "flying saucer"], None),
        (["Car", "Persons"], {"car", "van", "pedestrian"}),
        (["bus"], {"bus"}),
        (["bicycle", "motorbike"], {"cyclist", "motorcycle"}),
    ],
)
def test_the_kinds_that_an_annotation_knows(agents, expected):
    assert kinds_known(agents) == expected


def test_a_road_user_that_the_annotation_does_not_know():
    assert unknown_kinds("A truck hits a pedestrian.", ["truck", "car"]) == ["pedestrian"]
    text = "A bus hits the ego car."
    assert crash(agents=["car"], crash_description=text) == {"crash_description": "unknown_agent"}
    assert crash(agents=["car", "bus"], crash_description=text) == {}
    assert crash(agents=[], crash_description=text) == {}
    assert crash(agents=["car"], prevention_reasoning="Give way to pedestrians and buses.") == {}


def test_of_an_image_the_exact_truth_is_asked():
    row = image("i", truth(thing("car", 60.0)))
    item = QaPair(
        qa_id("i", "object_detection"),
        "i",
        "train",
        "object_detection",
        "What is on the road?",
        format_reply("A red bus is ahead of us.", "a bus"),
        False,
        "endpoint",
        IMAGE_PROMPTS.version,
    )
    (found,) = validate([item], row, IMAGE_PROMPTS, ValidationRules()).rejected
    assert found.reason == "unknown_agent"
    assert validate([item], {**row, "still": None}, IMAGE_PROMPTS, ValidationRules()).rejected == []


def test_an_image_has_the_sign_of_its_annotated_classification():
    risk = '{"SceneClassification": "Urban road", "AgentClassification": "Vehicle", "SuggestedAction": "Yield", '
    row = image("i", None, classification=risk + '"IsThereRisk": "Yes"}')
    item = topic("object_detection", "What is on the road?", "a car")
    assert [found.reason for found in validate([item], row, IMAGE_PROMPTS, ValidationRules()).rejected] == [
        "wrong_sign"
    ]


def test_answers_that_contradict_one_another():
    found = crash(crash_recognition="No")
    assert found.pop("crash_recognition") == "negative_answer_for_crash"
    assert set(found.values()) == {"contradiction"} and len(found) == 5
    assert crash(crash_description="There is no visible crash in this clip.") == {"crash_description": "contradiction"}
    assert crash(cause_reasoning="No collision happens, the road is free.") == {"cause_reasoning": "contradiction"}
    assert crash(cause_reasoning="The driver had no collision warning.") == {}


def test_a_first_sign_after_the_start_that_the_same_annotator_gave():
    row = scene("c", pre_crash_start_s=4.0, crash_start_s=3.0)
    pairs = annotate(row, "train", PROMPT_SET).pairs
    (found,) = validate(pairs, {**row, "crash_start_s": None}, PROMPT_SET, ValidationRules()).rejected
    assert (found.pair.task, found.reason) == ("pre_crash_localization", "contradiction")


def test_two_texts_that_say_the_same():
    said = "The driver followed the car ahead too closely."
    same = "The driver followed the car ahead too closely"
    assert crash(cause_reasoning=said, prevention_reasoning=same) == {"prevention_reasoning": "near_duplicate"}
    assert crash(cause_reasoning=said, prevention_reasoning="Keep more distance to the car ahead of you.") == {}
    assert crash(ValidationRules(max_similarity=1.0), cause_reasoning=said, prevention_reasoning=same) == {}


def topic(task, question, answer, reasoning="The road ahead is seen in daylight."):
    reply = format_reply(reasoning, answer)
    return QaPair(qa_id("i", task), "i", "train", task, question, reply, False, "endpoint", IMAGE_PROMPTS.version)


def test_two_topics_asked_alike():
    pairs = [
        topic("object_detection", "What is the nearest road user ahead?", "a car"),
        topic("spatial_relationships", "What is the nearest road user ahead", "a car"),
        topic("traffic_rules", "Which rule holds at the junction ahead?", "give way"),
    ]
    (found,) = validate(pairs, image("i", truth()), IMAGE_PROMPTS, ValidationRules()).rejected
    assert (found.pair.task, found.reason) == ("spatial_relationships", "near_duplicate")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"question": ","}, "too_short"),
        ({"question": "what is the " * 21}, "too_long"),
        ({"reasoning": "..."}, "too_short"),
        ({"reasoning": "the road is long " * 40}, "too_long"),
        ({"answer": "?"}, "too_short"),
        ({"question": "Was ist auf der Straße vor uns zu sehen?"}, "not_english"),
        ({}, None),
    ],
)
def test_lengths_of_a_topic(changes, expected):
    item = topic(**{"task": next(iter(TOPICS)), "question": "What is on the road?", "answer": "a car"} | changes)
    found = validate([item], image("i", truth()), IMAGE_PROMPTS, ValidationRules()).rejected
    assert [item.reason for item in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ego-car hits a pedestrian.", True),
        ("car hits car", True),
        ("The driver did not keep a safe distance to the car ahead.", True),
        ("Der Fahrer hielt keinen Abstand zum Auto vor ihm auf der Autobahn.", False),
        ("Le conducteur ne gardait pas ses distances avec la voiture devant lui.", False),
        ("El conductor no mantuvo una distancia segura del coche que iba delante.", False),
        ("司机没有保持安全距离。", False),
        ("Водитель не соблюдал дистанцию.", False),
        ("3.2", True),
    ],
)
def test_english(text, expected):
    assert is_english(text) is expected


def test_language_and_length_of_a_crash_and_their_settings():
    german = "Der Fahrer hielt keinen Abstand zum Auto vor ihm auf der Autobahn."
    assert crash(cause_reasoning=german) == {"cause_reasoning": "not_english"}
    assert crash(ValidationRules(language="any"), cause_reasoning=german) == {}
    assert crash(crash_description="Crash.") == {"crash_description": "too_short"}
    long = "the car and the other car " * 7
    assert crash(crash_description=long) == {"crash_description": "too_long"}
    assert crash(ValidationRules(max_words={"crash_description": 50}), crash_description=long) == {}


def test_similarity_is_that_of_words():
    assert similarity("A car, ahead!", "a CAR ahead") == 1.0
    assert similarity("one two three four", "five six seven eight") == 0.0
    assert similarity("", "") == 1.0 and similarity("", "one") == 0.0
    assert 0.7 < similarity("the car ahead brakes hard", "the car ahead turns hard") < 0.9
