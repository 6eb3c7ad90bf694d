import numpy as np
import pytest

from hazardline.errors import UserError
from hazardline.evaluate.bootstrap import metric_estimate, paired_difference, resample_weights
from hazardline.evaluate.scored import CLIP_METRICS


def test_every_resample_holds_as_many_clips_and_strata_keep_their_size():
    strata = np.array([1.0] * 7 + [0.0] * 13)
    weights = np.concatenate(list(resample_weights(20, strata, 600, seed=3)))
    assert weights.shape == (600, 20)
    assert (weights[:, :7].sum(axis=1) == 7).all() and (weights[:, 7:].sum(axis=1) == 13).all()
    free = np.concatenate(list(resample_weights(20, None, 600, seed=3)))
    assert (free.sum(axis=1) == 20).all() and len(np.unique(free[:, :7].sum(axis=1))) > 3


def test_the_interval_of_a_mean_is_the_textbooks():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    found = metric_estimate("crash_miou", np.ones(400), values, 2000, seed=1)
    error = values.std() / 20
    assert found.value == pytest.approx(values.mean()) and found.n == 400
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_coverage_is_about_95_percent():
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(120):
        values = (rng.random(80) < 0.7).astype(float)
        found = metric_estimate("crash_ap50", np.ones(80), values, 300, seed=trial)
        hits += found.low <= 0.7 <= found.high
    assert 0.89 <= hits / 120 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_another_another():
    rng = np.random.default_rng(4)
    targets, values = (rng.random(100) < 0.4).astype(float), rng.normal(size=100)
    first, again, other = (metric_estimate("near_miss_auc", targets, values, 300, seed) for seed in (5, 5, 6))
    assert first == again and first.low != other.low and first.value == other.value


def test_an_auc_of_one_label_and_a_metric_of_no_clip_are_not_defined():
    assert metric_estimate("near_miss_auc", np.ones(5), np.arange(5.0), 200, 0) is None
    assert metric_estimate("crash_miou", np.zeros(0), np.zeros(0), 200, 0) is None


def rows(metric, values, targets=None, model="candidate"):
    targets = np.ones(len(values)) if targets is None else targets
    return [
        {"model": model, "clip_id": f"c{number}", "metric": metric, "target": float(target), "value": float(value)}
        for number, (target, value) in enumerate(zip(targets, values, strict=True))
    ]


def test_a_paired_difference_is_narrower_than_two_intervals_of_correlated_models():
    rng = np.random.default_rng(6)
    shared = rng.random(200)
    ours, theirs = rows("crash_miou", shared + 0.05 + rng.normal(0, 0.02, 200)), rows("crash_miou", shared)
    found = paired_difference(ours, list(reversed(theirs)), "crash_miou", 1000, 0)
    assert found.value == pytest.approx(0.05, abs=0.01) and found.n == 200
    assert found.low > 0.04 and found.high < 0.06
    alone = metric_estimate("crash_miou", np.ones(200), shared, 1000, 0)
    assert found.high - found.low < (alone.high - alone.low) / 5
    assert paired_difference(theirs, ours, "crash_miou", 1000, 0).value == pytest.approx(-found.value)


def test_a_model_does_not_differ_from_itself():
    targets = (np.arange(40) % 2).astype(float)
    same = rows("recognition_macro_f1", np.roll(targets, 3), targets)
    found = paired_difference(same, same, "recognition_macro_f1", 300, 0)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_auc_differences_use_scores_on_different_scales():
    targets = (np.arange(60) % 2).astype(float)
    rng = np.random.default_rng(8)
    good, chance = rows("near_miss_auc", targets * 30 + rng.normal(size=60), targets), rng.normal(size=60)
    found = paired_difference(good, rows("near_miss_auc", chance, targets), "near_miss_auc", 500, 0)
    assert found.low > 0.25


@pytest.mark.parametrize(
    ("ours", "theirs", "metric", "message"),
    [
        (rows("crash_miou", [1, 0]), rows("crash_miou", [1, 0, 1]), "crash_miou", "not scored on the same clips"),
        (
            rows("recognition_accuracy", [1, 0], [1, 0]),
            rows("recognition_accuracy", [1, 0], [1, 1]),
            "recognition_accuracy",
            "same reference answers",
        ),
        (rows("crash_miou", [1]), rows("crash_ap50", [1]), "crash_miou", "second model has no clip scores"),
        (rows("crash_miou", [1]) * 2, rows("crash_miou", [1]), "crash_miou", "two scores for one clip"),
        ([], [], "cause_bleu4", "cannot be compared clip by clip"),
        (rows("normal_auc", [1, 2]), rows("normal_auc", [1, 2]), "normal_auc", "one label only"),
    ],
)
def test_what_cannot_be_compared_is_explained(ours, theirs, metric, message):
    with pytest.raises(UserError, match=message):
        paired_difference(ours, theirs, metric, 200, 0)


def test_two_class_metrics_are_stratified():
    assert {name for name, info in CLIP_METRICS.items() if info.is_stratified} == {
        "recognition_macro_f1",
        "recognition_binary_f1",
        "near_miss_auc",
        "normal_auc",
    }
