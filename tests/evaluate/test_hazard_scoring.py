import numpy as np
import pytest
from sklearn.metrics import f1_score

from hazardline.evaluate import scores, text
from hazardline.evaluate.hazard_constants import HazardConstants
from hazardline.evaluate.hazard_measures import HazardMeasures
from hazardline.evaluate.hazard_scored import (
    FIELD_NAMES,
    HAZARD_CLIP_METRICS,
    HAZARD_METRIC_NAMES,
    TOPIC_METRICS,
    classes_of,
    code_of,
)
from hazardline.evaluate.hazard_scoring import bleu_rows, score_images
from hazardline.evaluate.measures import clip_score_rows
from hazardline.evaluate.metrics.scene_classification import SceneClassificationMetric
from hazardline.evaluate.scored import METRIC_NAMES
from hazardline.evaluate.testset import Splits
from hazardline.hazardnet import FIELDS, TOPICS, parse_classification
from tests.evaluate.images import RISK, SAFE, answered, classification, image, right

CLIPS = [image("a", RISK), image("b"), image("c", RISK), image("d", weather_visibility=None)]
RIGHT = right(CLIPS)
CONTRACT = {
    *(f"{field}_{kind}_f1" for field in ("scene", "agent", "action", "risk") for kind in ("macro", "weighted")),
    "classification_macro_f1", "classification_exact", "parse_failure_rate", "free_parse_failure_rate", "qa_accuracy",
    *(f"qa_accuracy_{task}" for task in TOPICS), "qa_rougeL", "qa_bleu4",
}  # fmt: skip


def value(metric, answers, clips=CLIPS):
    found = score_images(metric, clips, answers)
    return scores.single(HAZARD_CLIP_METRICS[metric].score, found.targets, found.values)


def splits(test=CLIPS, validation=CLIPS):
    return Splits([], list(validation), list(test), "hazardnet-short@1")


def test_the_names_are_the_contract_and_are_no_names_of_crashchat():
    assert set(HAZARD_METRIC_NAMES) == CONTRACT and not CONTRACT & set(METRIC_NAMES)
    assert all(info.explanation.endswith(".") for info in HAZARD_CLIP_METRICS.values())
    lower = {name for name, info in HAZARD_CLIP_METRICS.items() if info.lower_is_better}
    assert lower == {"parse_failure_rate", "free_parse_failure_rate"}


def test_a_whole_classification_is_one_number_and_back():
    answers = [classification(s, a, c, r) for s in FIELDS["SceneClassification"] for a in ("N/A", "Cyclist")
               for c in FIELDS["SuggestedAction"] for r in ("Yes", "No")]  # fmt: skip
    codes = np.array([code_of(parse_classification(answer)) for answer in answers] + [scores.UNPARSABLE])
    assert len(set(codes)) == len(answers) + 1
    for field, found in classes_of(codes).items():
        names = [FIELDS[field][int(number)] for number in found[:-1]]
        assert names == [parse_classification(answer)[field] for answer in answers]
        assert found[-1] == scores.UNPARSABLE


def test_reference_answers_are_perfect():
    found = HazardMeasures.of(splits(), None).score("candidate", lambda metric: RIGHT, 100, 0)
    asked = {f"qa_accuracy_{task}" for task in ("object_detection", "dynamic_elements", "weather_visibility")}
    assert set(found.undefined) == set(TOPIC_METRICS) - asked
    assert set(found.estimates) == CONTRACT - set(found.undefined)
    for metric, estimate in found.estimates.items():
        perfect = 0.0 if metric.endswith("failure_rate") else 1.0
        assert estimate.value == pytest.approx(perfect), metric
    assert found.estimates["qa_accuracy"].n == 4 and found.estimates["qa_accuracy_weather_visibility"].n == 3


def test_field_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    values = [classification(*(str(rng.choice(names)) for names in FIELDS.values())) for _ in range(160)]
    clips = [image(f"{number}", answer) for number, answer in enumerate(values[:80])]
    answers = right(clips)
    for number, answer in enumerate(values[80:]):
        answers = answered(answers, f"{number}", scene_classification=answer if number % 9 else "no JSON")
    macros = []
    for short, field in FIELD_NAMES.items():
        true = [parse_classification(clip.references["scene_classification"])[field] for clip in clips]
        said = [
            (parse_classification(answers[clip.clip_id]["scene_classification"].text) or {field: "?"})[field]
            for clip in clips
        ]
        labels = sorted(set(true))
        for average in ("macro", "weighted"):
            expected = f1_score(true, said, labels=labels, average=average, zero_division=0)
            assert value(f"{short}_{average}_f1", answers, clips) == pytest.approx(expected)
        macros.append(value(f"{short}_macro_f1", answers, clips))
    assert value("classification_macro_f1", answers, clips) == pytest.approx(np.mean(macros))
    computed = SceneClassificationMetric().compute(
        predictions=[answers[clip.clip_id]["scene_classification"].text for clip in clips],
        references=[clip.references["scene_classification"] for clip in clips],
    )
    assert computed["macro_f1"] == pytest.approx(np.mean(macros)) and computed["num_unparsable"] == 9
    assert computed["risk_weighted_f1"] == pytest.approx(value("risk_weighted_f1", answers, clips))
    assert computed["exact"] == pytest.approx(value("classification_exact", answers, clips))


def test_an_answer_that_cannot_be_parsed_is_wrong_in_every_field_and_counted():
    bad = answered(RIGHT, "b", scene_classification='{"IsThereRisk": "No"}')
    assert value("parse_failure_rate", bad) == value("free_parse_failure_rate", bad) == 0.25
    assert value("classification_exact", bad) == 0.75
    assert value("risk_macro_f1", bad) == pytest.approx((1.0 + 2 / 3) / 2)
    free = answered(RIGHT, "b", free="Urban road, no risk")
    assert value("parse_failure_rate", free) == 0.0 and value("free_parse_failure_rate", free) == 0.25
    assert value("classification_exact", free) == 1.0
    counts = HazardMeasures.of(splits(), None).counts({"candidate": bad, "base": free})
    assert counts["candidate_unparsable_classification"] == 1 and counts["base_unparsable_classification"] == 0
    assert counts["base_unparsable_free_classification"] == 1
    assert counts["images_with_risk"] == counts["images_without_risk"] == 2


def test_only_the_final_answer_counts_for_accuracy():
    reworded = answered(RIGHT, "a", object_detection="I see it. Answer: Van.", dynamic_elements="Answer: Yes")
    assert value("qa_accuracy", reworded) == pytest.approx(10 / 11)
    assert value("qa_accuracy_object_detection", reworded) == 1.0
    assert value("qa_accuracy_dynamic_elements", reworded) == 0.75
    silent = answered(RIGHT, "a", dynamic_elements="No road user crosses.")
    assert value("qa_accuracy_dynamic_elements", silent) == 0.75


def test_text_overlap_is_over_questions():
    said = answered(RIGHT, "d", object_detection="a truck", dynamic_elements="no")
    pairs = [(said[c.clip_id][task].text, c.references[task]) for c in CLIPS for task in TOPICS if task in c.references]
    expected = np.mean(text.rouge(*map(list, zip(*pairs, strict=True)))["rougeL"])
    assert value("qa_rougeL", said) == pytest.approx(expected)
    ids, counts = bleu_rows(CLIPS, said)
    assert ids == ["a", "b", "c", "d"]
    whole = text.bleu_counts(*map(list, zip(*pairs, strict=True))).sum(axis=0)
    assert counts.sum(axis=0) == pytest.approx(whole)


def test_images_of_one_scene_are_resampled_together():
    clips = [image(f"{scene}/{number}", RISK if scene % 2 else SAFE) for scene in range(20) for number in range(6)]
    answers = right(clips)
    for scene in range(0, 20, 3):
        for number in range(6):
            answers = answered(answers, f"{scene}/{number}", scene_classification=SAFE if scene % 2 else RISK)
    alone = HazardMeasures(splits(clips), {})
    together = HazardMeasures(splits(clips), {clip.clip_id: clip.clip_id.split("/")[0] for clip in clips})
    first, second = (item.score("candidate", lambda metric: answers, 400, 0) for item in (alone, together))
    narrow, wide = (found.estimates["classification_exact"] for found in (first, second))
    assert narrow.value == wide.value
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(6**0.5, rel=0.3), "six equal images of a scene are worth one"


def test_constants_are_the_best_answers_that_see_no_image():
    validation = [image("1", RISK), image("2", RISK), image("3", classification("Intersection")), image("4")]
    validation += [image("5", None, dynamic_elements="A car crosses from the left. Answer: Yes")]
    constants = HazardConstants.choose(validation)
    assert set(constants.texts) == set(HAZARD_METRIC_NAMES)
    for metric in constants.classifications:
        answers = constants.answers_for(metric, validation)
        best = value(metric, answers, validation)
        for other in (SAFE, RISK, classification("Narrow lane", "Cyclist", "Yield", "Yes")):
            tried = {clip_id: {**given} for clip_id, given in answers.items()}
            for clip_id in ("1", "2", "3", "4"):
                tried = answered(tried, clip_id, scene_classification=other)
            found = value(metric, tried, validation)
            assert best <= found if metric.endswith("failure_rate") else best >= found
    assert value("qa_accuracy_dynamic_elements", constants.answers_for("qa_accuracy", validation), validation) == 0.8


def test_a_question_that_validation_lacks_gets_the_commonest_reply_of_its_topic():
    constants = HazardConstants.choose([image("1"), image("2")])
    other = image("x", questions={**REFERENCES_OF_OTHER_QUESTIONS})
    shown = constants.shown([other])["x"]
    assert shown["object_detection"].text == "The nearest road user is a red van. Answer: van"
    assert shown["scene_classification"].text == SAFE == shown["scene_classification"].free


REFERENCES_OF_OTHER_QUESTIONS = {
    "object_detection": "Which road user is nearest to us?",
    "dynamic_elements": "Is there crossing traffic?",
    "weather_visibility": "How is the weather?",
}


def test_the_rows_that_export_compares_are_those_of_the_stage():
    answers = answered(RIGHT, "a", scene_classification=SAFE)
    rows = clip_score_rows("quantised", ["risk_macro_f1", "qa_accuracy"], splits(), answers)
    whole = HazardMeasures.of(splits(), None).score("quantised", lambda metric: answers, 100, 0).rows
    assert [row for row in whole if row["metric"] in ("risk_macro_f1", "qa_accuracy")] == sorted(
        rows, key=lambda row: (row["metric"], row["clip_id"])
    )


def test_slices_know_no_negatives():
    found = HazardMeasures.of(splits(), None).slices(RIGHT, 100, 0)
    assert {part.dimension for part in found} == {"scenario", "weather", "light"}
    assert {part.metric for part in found} == {"classification_macro_f1", "risk_macro_f1", "qa_accuracy"}
