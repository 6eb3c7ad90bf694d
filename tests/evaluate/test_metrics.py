"""The metrics as anyone can use them, without the line: subclasses of `evaluate.Metric`, offline."""

import math

import pytest

from hazardline.evaluate.metrics.canonical_answer import CanonicalAnswerMetric
from hazardline.evaluate.metrics.crash_localization import CrashLocalizationMetric
from hazardline.evaluate.metrics.near_miss_auc import NearMissAucMetric
from hazardline.evaluate.metrics.pre_crash_localization import PreCrashLocalizationMetric
from hazardline.evaluate.metrics.recognition import RecognitionMetric
from hazardline.evaluate.metrics.text_overlap import TextOverlapMetric


def test_recognition():
    found = RecognitionMetric().compute(
        predictions=["Yes", "no.", "Yes", "a car", "No"], references=["Yes", "No", "No", "Yes", "Yes"]
    )
    assert found["accuracy"] == pytest.approx(2 / 5) and found["num_unparsable"] == 1
    assert found["binary_precision"] == pytest.approx(1 / 2) and found["binary_recall"] == pytest.approx(1 / 3)
    assert found["binary_f1"] == pytest.approx(2 / 5)
    assert found["macro_f1"] == pytest.approx((2 / 5 + 1 / 2) / 2)
    assert found["macro_precision"] == pytest.approx(1 / 2) and found["macro_recall"] == pytest.approx(5 / 12)
    with pytest.raises(ValueError, match="neither 'Yes' nor 'No'"):
        RecognitionMetric().compute(predictions=["Yes"], references=["perhaps"])


def test_batches_add_up():
    metric = RecognitionMetric()
    metric.add_batch(predictions=["Yes", "No"], references=["Yes", "Yes"])
    metric.add(prediction="No", reference="No")
    assert metric.compute()["accuracy"] == pytest.approx(2 / 3)


def test_crash_localization():
    found = CrashLocalizationMetric().compute(
        predictions=["2.0 - 4.0 seconds", "4.0 - 3.0 seconds", "none"], references=["2.0 - 4.0 seconds"] * 3
    )
    assert found == pytest.approx({"miou": 0.5, "ap30": 2 / 3, "ap50": 2 / 3, "ap70": 1 / 3, "num_unparsable": 1})


def test_pre_crash_localization():
    found = PreCrashLocalizationMetric().compute(
        predictions=["0.8 seconds", "2.0 seconds", "never", "1.0 seconds"],
        references=["1.0 seconds", "1.0 seconds", "1.0 seconds", "3.0 seconds"],
        crash_starts=[3.0, 3.0, 3.0, 3.0],
    )
    assert found == pytest.approx(
        {
            "score": 0.5,
            "true_tta_s": 2.0,
            "predicted_tta_s": (2.2 + 1.0 + 0.0) / 3,
            "tta_abs_error_s": (0.2 + 1.0 + 2.0) / 3,
            "num_unparsable": 1,
            "num_skipped": 1,
        }
    )


def test_text_overlap():
    found = TextOverlapMetric().compute(predictions=["car hits a truck.", ""], references=["car hits a truck."] * 2)
    assert found["rougeL"] == 0.5 and found["num_empty"] == 1
    assert found["sacrebleu"] == pytest.approx(math.exp(1 - 2))
    assert found["bleu4"] == pytest.approx(math.exp(1 - 2) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_canonical_answer():
    found = CanonicalAnswerMetric().compute(predictions=["A b.", "c", "x"], references=["a b", "c", "c"])
    assert found == pytest.approx(
        {"macro_f1": (1 + 2 / 3) / 2, "accuracy": 2 / 3, "num_classes": 2, "num_not_canonical": 1}
    )


def test_near_miss_auc():
    labels = ["crash", "crash", "near_miss", "near_miss", "normal"]
    found = NearMissAucMetric().compute(predictions=[2.0, 0.5, 1.0, 0.5, -1.0], references=labels)
    assert found == pytest.approx({"near_miss_auc": (2 + 0 + 0.5) / 4, "normal_auc": 1.0})
    with pytest.raises(ValueError, match="no label"):
        NearMissAucMetric().compute(predictions=[1.0], references=["boom"])
