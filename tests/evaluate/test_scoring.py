import pytest

from hazardline.evaluate import scores
from hazardline.evaluate.answers import Answer, answer_counts, prediction_rows
from hazardline.evaluate.estimates import Scorer
from hazardline.evaluate.scored import CLIP_METRICS, METRIC_NAMES, explanation
from hazardline.evaluate.scoring import Canon, score_clips
from hazardline.evaluate.slices import slice_estimates
from tests.evaluate.clips import changed, clip, perfect

CLIPS = [
    clip("a"),
    clip("b", crash_localization="3.0 - 5.0 seconds", crash_start_s=3.0, pre_crash_localization="2.0 seconds"),
    clip("n", "near_miss"),
    clip("o", "normal", scenario="cruise"),
]
TRAIN = [clip("t"), clip("u", scenario="dart_out", crash_description="car hits a pedestrian.")]
CANON = Canon.build(TRAIN, CLIPS)
PERFECT = perfect(CLIPS)
CONTRACT = {
    "recognition_macro_f1", "recognition_binary_f1", "recognition_accuracy", "near_miss_auc", "normal_auc",
    "crash_miou", "crash_ap30", "crash_ap50", "crash_ap70", "crash_miou_two_pass", "pre_crash_score",
    "pre_crash_score_two_pass", "tta_abs_error_s", "description_family_accuracy",
    *(f"{text}_{name}" for text in ("description", "cause", "prevention")
      for name in ("canonical_macro_f1", "bleu4", "rouge1", "rouge2", "rougeL", "sacrebleu", "positive_rougeL",
                   "positive_bleu4")),
}  # fmt: skip


def value(metric, answers, clips=CLIPS):
    found = score_clips(metric, clips, answers, CANON)
    return scores.single(CLIP_METRICS[metric].score, found.targets, found.values)


def test_the_names_are_the_contract_and_each_is_explained():
    assert set(METRIC_NAMES) == CONTRACT
    assert all(explanation(name).endswith(".") for name in METRIC_NAMES)


def test_reference_answers_are_perfect_in_every_metric():
    found = Scorer(CLIPS, CANON, 100, 0).score("candidate", lambda metric: PERFECT)
    assert set(found.estimates) == CONTRACT and not found.undefined
    for metric, estimate in found.estimates.items():
        perfect_value = 0.0 if metric == "tta_abs_error_s" else 1.0
        if not metric.endswith("bleu4"):  # even right answers miss 1 where they are shorter than four words
            assert estimate.value == pytest.approx(perfect_value), metric
        assert estimate.low <= estimate.value + 1e-12 and estimate.high >= estimate.value - 1e-12
    assert {row["metric"] for row in found.rows} == set(CLIP_METRICS)


def test_a_missed_crash_counts_zero_end_to_end_only():
    missed = changed(PERFECT, "a", crash_recognition="No")
    assert value("crash_miou", missed) == 1.0 and value("pre_crash_score", missed) == 1.0
    assert value("crash_miou_two_pass", missed) == 0.5 and value("pre_crash_score_two_pass", missed) == 0.5
    unclear = changed(PERFECT, "a", crash_recognition="maybe")
    assert value("crash_miou_two_pass", unclear) == 0.5


def test_unparsable_answers_are_wrong_and_counted():
    bad = changed(PERFECT, "a", crash_recognition="maybe", crash_localization="soon", pre_crash_localization="soon")
    bad = changed(bad, "b", crash_description=" ")
    assert value("recognition_accuracy", bad) == 0.75
    assert value("crash_miou", bad) == 0.5 and value("crash_ap30", bad) == 0.5 and value("pre_crash_score", bad) == 0.5
    assert value("tta_abs_error_s", bad) == pytest.approx(0.5)  # no warning where there was one second of it
    assert value("description_rougeL", bad) == 0.75
    counts = answer_counts("candidate", CLIPS, bad)
    assert counts["candidate_unparsable_crash_recognition"] == 1
    assert (
        counts["candidate_unparsable_crash_localization"] == counts["candidate_unparsable_pre_crash_localization"] == 1
    )
    assert counts["candidate_empty_crash_description"] == 1 and counts["candidate_second_passes"] == 1


def test_a_clip_without_time_before_the_crash_is_left_out_of_the_pre_crash_metrics():
    late = [*CLIPS, clip("z", pre_crash_localization="2.0 seconds", crash_start_s=2.0)]
    for metric in ("pre_crash_score", "pre_crash_score_two_pass", "tta_abs_error_s"):
        assert score_clips(metric, late, perfect(late), CANON).clip_ids == ["a", "b"]
    assert len(score_clips("crash_miou", late, perfect(late), CANON).clip_ids) == 3


def test_auc_looks_at_scores_of_its_two_labels_only():
    assert score_clips("near_miss_auc", CLIPS, PERFECT, CANON).clip_ids == ["a", "b", "n"]
    assert score_clips("normal_auc", CLIPS, PERFECT, CANON).clip_ids == ["a", "b", "o"]
    swapped = {**PERFECT, "n": {**PERFECT["n"], "crash_recognition": Answer("No", score=5.0)}}
    assert value("near_miss_auc", swapped) == 0.0 and value("normal_auc", swapped) == 1.0


def test_families_are_told_by_the_training_texts():
    said = changed(PERFECT, "a", crash_description="car hits a pedestrian")
    assert value("description_family_accuracy", said) == 0.5
    reworded = changed(PERFECT, "a", crash_description="the ego-car hits a car")
    assert value("description_family_accuracy", reworded) == 1.0
    assert value("description_canonical_macro_f1", reworded) == pytest.approx((2 / 3 + 1.0) / 2)


def test_prediction_rows_hold_every_question_and_false_alarms():
    alarmed = changed(PERFECT, "n", crash_recognition="Yes", crash_localization="1.0 - 2.0 seconds")
    rows = prediction_rows("candidate", CLIPS, alarmed)
    assert len(rows) == 6 + 6 + 4 + 4 + 1
    alarm = [row for row in rows if row["clip_id"] == "n" and row["task"] == "crash_localization"]
    assert alarm[0]["reference"] == "" and alarm[0]["asked"]
    assert answer_counts("candidate", CLIPS, alarmed)["candidate_false_alarms"] == 1


def test_slices_hold_the_parts_on_which_a_metric_is_defined():
    metrics = ("recognition_macro_f1", "recognition_accuracy", "crash_miou")
    values = {metric: score_clips(metric, CLIPS, PERFECT, CANON) for metric in metrics}
    found = {
        (part.dimension, part.value, part.metric): part.estimate.n for part in slice_estimates(CLIPS, values, 100, 0)
    }
    assert found["negatives", "crash and near miss", "recognition_macro_f1"] == 3
    assert found["scenario", "rear_end", "crash_miou"] == 2
    assert found["scenario", "cruise", "recognition_accuracy"] == 1
    assert ("scenario", "cruise", "recognition_macro_f1") not in found
    assert ("scenario", "cruise", "crash_miou") not in found
