from collections import Counter

import pytest

from hazardline.hazardnet import CLASSIFICATION, HAZARDNET_PROMPTS, TOPICS, final_answer, parse_classification
from hazardline.synthesize.deterministic_images import NO_CLASS, NO_TRUTH, annotate
from hazardline.synthesize.hazard_qa import questions_of
from hazardline.synthesize.hazard_templates import TEMPLATES, Seen
from tests.synthesize.images import image, thing, truth

PROMPTS = HAZARDNET_PROMPTS["hazardnet-short@1"]
BUSY = truth(
    thing("van", 12.0, 0.2, colour="blue", braking=True),
    thing("pedestrian", 18.0, -3.0, heading="from_left"),
    thing("truck", 30.0, 4.0, heading="oncoming"),
    road="intersection",
    signal="red",
    stop_line_m=20.0,
)
EMPTY = truth()


def seen(still, weather="rainy", light="night"):
    return Seen.of(still, weather, light)


def reply(task, wording, still, **around):
    template = next(template for template in TEMPLATES[task] if wording in template.wordings)
    return template.reply(seen(still, **around))


@pytest.mark.parametrize("still", [BUSY, EMPTY], ids=["busy", "empty"])
def test_an_image_is_asked_five_topics_and_always_the_same(still):
    asked, missing = questions_of("some image", seen(still))
    assert len(asked) == 5 and missing == []
    assert questions_of("some image", seen(still)) == (asked, missing)
    order = [list(TOPICS).index(item.task) for item in asked]
    assert order == sorted(set(order))


def test_topics_questions_and_wordings_vary_from_image_to_image():
    asked = [item for number in range(300) for item in questions_of(f"image {number}", seen(BUSY))[0]]
    topics = Counter(item.task for item in asked)
    assert set(topics) == set(TOPICS) and min(topics.values()) > 150
    possible = {
        wording
        for templates in TEMPLATES.values()
        for template in templates
        if template.reply(seen(BUSY)) is not None
        for wording in template.wordings
    }
    assert {item.question for item in asked} == possible


def test_another_topic_takes_the_place_of_one_that_cannot_be_answered():
    for number in range(50):
        asked, missing = questions_of(f"image {number}", seen(EMPTY, weather="unknown"))
        assert len(asked) == 5 and missing == []
        assert not {"weather_visibility", "traffic_rules"} & {item.task for item in asked}


def test_what_an_image_lacks_to_five_topics_is_named(monkeypatch):
    monkeypatch.setitem(TEMPLATES, "object_detection", ())
    asked, missing = questions_of("image", seen(EMPTY, weather="unknown"))
    assert len(asked) == 4
    assert [reason for _, reason in missing] == ["the image shows no answer to any question of this topic"]


@pytest.mark.parametrize(
    ("task", "wording", "expected"),
    [
        ("object_detection", "What kind of road user is nearest?", ("a blue van ahead of us, near", "van")),
        ("object_detection", "What colour is the nearest road user?", ("a blue van", "blue")),
        ("object_detection", "How many road users are there?", ("There are: van, pedestrian, truck.", "3")),
        ("object_detection", "Is there a pedestrian or a cyclist?", ("A red pedestrian is on the left, far.", "Yes")),
        ("spatial_relationships", "Where is the nearest road user?", ("ahead of us", "ahead")),
        ("spatial_relationships", "At what distance is the nearest road user?", ("near", "near")),
        ("spatial_relationships", "Is someone in our lane?", ("A blue van is ahead of us, near.", "Yes")),
        ("spatial_relationships", "Who is on the left?", ("on the left", "pedestrian")),
        ("spatial_relationships", "Who is on the right?", ("on the right", "truck")),
        ("traffic_rules", "What does the traffic light show?", ("The traffic light is red.", "red")),
        ("traffic_rules", "Must we stop at the traffic light?", ("is red", "Yes")),
        ("traffic_rules", "Must we give way to a pedestrian or a cyclist?", ("A red pedestrian", "Yes")),
        ("traffic_rules", "Is the gap in our lane safe?", ("near", "No")),
        ("dynamic_elements", "Does someone cross?", ("A red pedestrian crosses from the left.", "Yes")),
        ("dynamic_elements", "Does someone come toward us?", ("A red truck comes toward us.", "Yes")),
        ("dynamic_elements", "How does the nearest road user move?", ("A blue van goes with us.", "with us")),
        ("dynamic_elements", "Do brake lights shine in our lane?", ("The brake lights shine.", "Yes")),
        ("scene_prediction", "Is there a danger for us?", ("A blue van is ahead of us, near.", "Yes")),
        ("scene_prediction", "What is the danger?", ("A blue van", "van")),
        ("scene_prediction", "What should we do next?", ("A blue van", "stop")),
        ("weather_visibility", "What is the weather?", ("A rainy night.", "rainy")),
        ("weather_visibility", "Is it dark?", ("A rainy night.", "Yes")),
        ("weather_visibility", "How is the visibility?", ("A rainy night.", "poor")),
        ("road_infrastructure", "What road is it?", ("An intersection is ahead of us.", "intersection")),
        ("road_infrastructure", "How many lanes are there each way?", ("There are 2 lanes each way.", "2")),
        ("road_infrastructure", "Is there an intersection?", ("An intersection is ahead of us.", "Yes")),
        ("road_infrastructure", "What comes next on the road?", ("An intersection is ahead of us.", "intersection")),
    ],
)
def test_the_replies_about_a_busy_image(task, wording, expected):
    reasoning, answer = reply(task, wording, BUSY)
    assert expected[0] in reasoning and answer == expected[1]


@pytest.mark.parametrize(
    ("task", "wording", "still"),
    [
        ("object_detection", "What colour is the nearest road user?", truth(thing(ahead_m=45.0))),
        ("object_detection", "How many road users are there?", truth(*[thing(ahead_m=float(m)) for m in range(5, 10)])),
        ("spatial_relationships", "Where is the nearest road user?", EMPTY),
        ("traffic_rules", "What does the traffic light show?", EMPTY),
        ("traffic_rules", "Must we stop at the traffic light?", truth(signal="red", stop_line_m=40.0)),
        ("traffic_rules", "Is the gap in our lane safe?", truth(thing(heading="oncoming"))),
        ("dynamic_elements", "How does the nearest road user move?", truth(thing(heading="still"))),
        ("dynamic_elements", "Do brake lights shine in our lane?", truth(thing(heading="oncoming"))),
        ("dynamic_elements", "Do brake lights shine in our lane?", truth(thing("cyclist"))),
        ("road_infrastructure", "Is there an intersection?", truth(stop_line_m=40.0)),
        ("road_infrastructure", "What comes next on the road?", truth(bump_m=1.0)),
    ],
)
def test_what_an_image_cannot_show_is_not_asked(task, wording, still):
    assert reply(task, wording, still) is None


def test_road_users_beyond_sight_are_left_out_and_fog_shortens_it():
    far = truth(thing(ahead_m=50.0), thing(ahead_m=80.0))
    assert len(seen(far).users) == 1 and len(seen(far, weather="foggy").users) == 0


def test_the_annotation_of_an_image():
    annotation = annotate(image("i", BUSY, "near_miss"), "train", PROMPTS)
    assert annotation.unasked == [] and len(annotation.pairs) == 6
    assert all(pair.is_positive and pair.qa_id == f"i/{pair.task}" for pair in annotation.pairs)
    last = annotation.pairs[-1]
    assert (last.task, last.question) == (CLASSIFICATION, PROMPTS.questions[CLASSIFICATION])
    assert parse_classification(last.answer) == {
        "SceneClassification": "Intersection",
        "AgentClassification": "Vehicle",
        "SuggestedAction": "Must Stop",
        "IsThereRisk": "Yes",
    }
    assert all(" Answer: " in pair.answer for pair in annotation.pairs[:-1])


def test_without_a_risk_agent_and_action_are_not_applicable():
    pairs = annotate(image("i", EMPTY), "test", PROMPTS).pairs
    values = parse_classification(pairs[-1].answer)
    assert list(values.values()) == ["Urban road", "N/A", "N/A", "No"]
    assert not any(pair.is_positive for pair in pairs)


def test_a_highway_is_asked_no_classification_and_footage_nothing_each_with_its_reason():
    highway = annotate(image("h", truth(road="highway")), "test", PROMPTS)
    assert [pair.task for pair in highway.pairs if pair.task == CLASSIFICATION] == []
    assert highway.unasked == [(CLASSIFICATION, NO_CLASS)] and len(highway.pairs) == 5
    footage = annotate(image("f", None), "test", PROMPTS)
    assert footage.pairs == [] and {reason for _, reason in footage.unasked} == {NO_TRUTH}


def test_final_answers_come_from_small_closed_sets():
    stills = [BUSY, EMPTY, truth(thing("suv", 25.0, 3.0)), truth(thing("cyclist", 8.0)), truth(bump_m=9.0)]
    rows = [image(f"{number}/{place}", still) for number in range(60) for place, still in enumerate(stills)]
    answers = {final_answer(pair.answer) for row in rows for pair in annotate(row, "train", PROMPTS).pairs[:-1]}
    assert all(len(answer.split()) <= 3 for answer in answers) and len(answers) < 45
