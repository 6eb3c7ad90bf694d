import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from hazardline.evaluate import scores
from hazardline.tasks import parse_interval


@pytest.mark.parametrize(
    ("predicted", "true", "iou"),
    [
        ((2.0, 4.0), (2.0, 4.0), 1.0),
        ((1.0, 3.0), (2.0, 4.0), 1 / 3),
        ((0.0, 10.0), (2.0, 4.0), 0.2),
        ((5.0, 6.0), (2.0, 4.0), 0.0),
        ((3.0, 3.0), (2.0, 4.0), 0.0),
        ((4.0, 2.0), (2.0, 4.0), 1.0),
        (None, (2.0, 4.0), 0.0),
        ((3.0, 3.0), (3.0, 3.0), 1.0),
        ((3.0, 3.0), (4.0, 4.0), 0.0),
    ],
)
def test_interval_iou(predicted, true, iou):
    assert scores.interval_iou(predicted, true) == pytest.approx(iou)


def test_swapped_ends_of_an_answer_are_repaired():
    assert scores.interval_iou(parse_interval("4.0 - 2.0 seconds"), (2.0, 4.0)) == 1.0


def test_a_threshold_is_reached_by_equality_in_spite_of_floating_point():
    iou = scores.interval_iou((0.1, 0.4), (0.1, 1.1))  # 0.30000000000000004 / 1.0 or just below .3
    assert scores.reaches(iou, 0.3) and not scores.reaches(0.29, 0.3)


@pytest.mark.parametrize(
    ("predicted", "score"),
    [
        (3.0, 0.0),  # at the crash start
        (3.5, 0.0),  # after it
        (0.4, 0.0),  # more than 0.5 s early
        (0.5, 1.0),  # exactly 0.5 s early
        (0.9, 1.0),
        (1.0, 1.0),  # exact: (a - p) / (a - t)
        (2.0, 0.5),
        (2.5, 0.25),
        (None, 0.0),
    ],
)
def test_pre_crash_score_with_truth_1_and_crash_start_3(predicted, score):
    assert scores.pre_crash_score(predicted, 1.0, 3.0) == pytest.approx(score)


def test_the_edge_of_the_window_survives_floating_point():
    assert 1.1 - 0.5 > 0.6
    assert scores.pre_crash_score(0.6, 1.1, 3.0) == 1.0


@pytest.mark.parametrize("crash_start_s", [1.0, 0.9])
def test_a_clip_without_time_before_the_crash_is_skipped(crash_start_s):
    assert scores.pre_crash_score(0.8, 1.0, crash_start_s) is None


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_pre_crash_score_lies_between_0_and_1(predicted, true, start):
    score = scores.pre_crash_score(predicted, true, start)
    assert score is None or 0.0 <= score <= 1.0


def test_no_warning_is_zero_seconds_of_warning():
    assert scores.time_to_accident_s(1.2, 3.0) == pytest.approx(1.8)
    assert scores.time_to_accident_s(3.4, 3.0) == 0.0
    assert scores.time_to_accident_s(None, 3.0) == 0.0


def test_an_unparsable_answer_is_wrong_for_both_classes():
    targets, values = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, scores.UNPARSABLE, 0.0, scores.UNPARSABLE])
    assert scores.single(scores.accuracy, targets, values) == 0.5
    assert scores.single(scores.binary_f1, targets, values) == pytest.approx(2 / 3)
    assert scores.single(scores.macro_f1, targets, values) == pytest.approx(2 / 3)


def test_always_yes_on_two_fifths_crashes():
    targets, values = np.array([1.0, 1.0, 0.0, 0.0, 0.0]), np.ones(5)
    assert scores.single(scores.binary_f1, targets, values) == pytest.approx(4 / 7)
    assert scores.single(scores.macro_f1, targets, values) == pytest.approx(2 / 7)


def _random(seed, n=60, classes=2):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, n).astype(float), rng.integers(0, classes, n).astype(float), rng


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_auc_are_scikit_learns(seed):
    targets, values, rng = _random(seed)
    assert scores.single(scores.macro_f1, targets, values) == pytest.approx(f1_score(targets, values, average="macro"))
    assert scores.single(scores.binary_f1, targets, values) == pytest.approx(f1_score(targets, values))
    ranks = rng.integers(0, 8, len(targets)).astype(float)  # many ties
    assert scores.single(scores.roc_auc, targets, ranks) == pytest.approx(roc_auc_score(targets, ranks))


def test_class_macro_f1_is_over_the_true_classes():
    targets, values, _ = _random(5, classes=4)
    expected = f1_score(targets, values, average="macro", labels=np.unique(targets))
    assert scores.single(scores.class_macro_f1, targets, values) == pytest.approx(expected)
    assert scores.single(scores.class_macro_f1, np.array([2.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "score", [scores.mean, scores.accuracy, scores.macro_f1, scores.class_macro_f1, scores.roc_auc]
)
def test_a_weight_counts_a_clip_so_many_times(score):
    targets, values, rng = _random(7, n=20)
    weights = rng.integers(0, 4, (5, 20)).astype(float)
    found = score(targets, values, weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        assert value == pytest.approx(scores.single(score, np.repeat(targets, row), np.repeat(values, row)))


def test_auc_of_one_label_is_not_a_number():
    assert np.isnan(scores.single(scores.roc_auc, np.ones(3), np.arange(3.0)))
