from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hazardline.split.leakage import (
    AuditData,
    FeatureName,
    LeakageRow,
    auc_interval,
    audit,
    audit_data,
    held_out_scores,
)
from tests.split.tables import grouped, simulated

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def _rows(feature: FeatureName, change: Change) -> dict[str, LeakageRow]:
    """The audit of one feature set, by comparison, after a change to every clip."""
    scenes, features = simulated(60, 40)
    for scene, row in zip(scenes, features, strict=True):
        change(scene, row)
    data = audit_data(scenes, features, grouped(scenes))
    chosen = AuditData(data.labels, data.groups, {feature: data.features[feature]})
    return {row.comparison: row for row in audit(chosen, 0.7)}


@pytest.fixture(scope="module")
def honest() -> tuple[AuditData, list[LeakageRow]]:
    scenes, features = simulated(60, 40)
    data = audit_data(scenes, features, grouped(scenes))
    return data, audit(data, 0.7)


def test_an_honest_data_set_does_not_leak(honest: tuple[AuditData, list[LeakageRow]]) -> None:
    rows = honest[1]
    assert len(rows) == 21 and {row.verdict for row in rows} == {"ok"}
    for row in rows:
        assert row.auc is not None and row.low is not None and row.high is not None
        assert row.low <= row.auc <= row.high and 0.3 < row.auc < 0.7
    counts = {row.comparison: (row.num_crash, row.num_other, row.num_groups) for row in rows}
    assert counts == {
        "crash_vs_near_miss": (60, 60, 60),
        "crash_vs_normal": (60, 40, 100),
        "crash_vs_rest": (60, 100, 100),
    }


def test_images_have_no_crashes_and_are_audited_for_near_misses() -> None:
    scenes, features = simulated(60, 40)
    for scene in scenes:
        scene["label"] = "normal" if scene["label"] == "normal" else "near_miss"
        scene["duration_s"], scene["fps"], scene["num_frames"] = 0.0, 1.0, 1
    rows = audit(audit_data(scenes, features, grouped(scenes)), 0.7)
    assert {row.comparison for row in rows} == {"near_miss_vs_normal"} and len(rows) == 7
    assert {(row.num_crash, row.num_other) for row in rows} == {(120, 40)}
    for feature in features:
        feature["clip_colour"][0] += 0.6 * (
            next(s["label"] for s in scenes if s["clip_id"] == feature["clip_id"]) == "normal"
        )
    found = {row.feature: row for row in audit(audit_data(scenes, features, grouped(scenes)), 0.7)}
    assert found["clip_colour"].verdict == "leaks"


def test_brightness_that_depends_on_the_label_is_found() -> None:
    def brighten(scene: dict[str, Any], feature: dict[str, Any]) -> None:
        feature["clip_colour"][0] += 0.6 * (scene["label"] == "crash")

    assert {row.verdict for row in _rows("clip_colour", brighten).values()} == {"leaks"}


def test_an_exact_length_in_the_middle_is_found() -> None:
    def fix(scene: dict[str, Any], feature: dict[str, Any]) -> None:
        if scene["label"] == "crash":
            scene["duration_s"] = 8.0  # a linear model cannot see this

    rows = _rows("length", fix)
    assert rows["crash_vs_near_miss"].verdict == rows["crash_vs_normal"].verdict == "leaks"


def test_another_codec_for_one_label_is_found() -> None:
    def encode(scene: dict[str, Any], feature: dict[str, Any]) -> None:
        scene["codec"] = "mpeg4" if scene["label"] == "normal" else "h264"

    rows = _rows("codec_resolution_source", encode)
    assert rows["crash_vs_normal"].auc == 1.0 and rows["crash_vs_normal"].verdict == "leaks"
    assert rows["crash_vs_near_miss"].auc == 0.5


def test_what_only_tells_groups_apart_is_no_leak() -> None:
    def name_the_pair(scene: dict[str, Any], feature: dict[str, Any]) -> None:
        if scene["pair_id"] is not None:
            feature["first_colour"] = np.random.default_rng(int(scene["pair_id"][1:])).uniform(0, 1, 14).tolist()

    assert _rows("first_frame_colour", name_the_pair)["crash_vs_near_miss"].verdict == "ok"


def test_a_label_that_is_absent_is_not_measured() -> None:
    scenes, features = simulated(20, 0)
    data = audit_data(scenes, features, grouped(scenes))
    rows = audit(AuditData(data.labels, data.groups, {"length": data.features["length"]}), 0.7)
    absent = next(row for row in rows if row.comparison == "crash_vs_normal")
    assert (absent.verdict, absent.auc, absent.num_other) == ("not_measured", None, 0)


def test_neither_the_run_nor_the_order_of_rows_matters(honest: tuple[AuditData, list[LeakageRow]]) -> None:
    scenes, features = simulated(60, 40)
    data = audit_data(scenes[::-1], features[::-1], grouped(scenes[::-1]))
    some = AuditData(data.labels, data.groups, {"motion_energy": data.features["motion_energy"]})
    assert audit(some, 0.7) == [row for row in honest[1] if row.feature == "motion_energy"]


def test_no_group_is_scored_by_a_model_that_saw_it() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 2)
    target = np.tile([True, False], 40)
    matrix = np.stack([groups / 40 + 0.001 * target, rng.uniform(0, 1, 80)], 1)
    _, folds = held_out_scores(matrix, target, groups, 0)
    assert all(len(set(folds[groups == g])) == 1 for g in range(40)) and set(folds) == set(range(5))


def test_the_auc_is_the_usual_one_in_a_single_fold() -> None:
    rng = np.random.default_rng(1)
    target = rng.uniform(size=200) < 0.4
    scores = np.round(rng.normal(size=200) + target, 1)
    auc, low, high = auc_interval(scores, target, np.arange(200), np.zeros(200, int), 0)
    assert auc == pytest.approx(roc_auc_score(target, scores), abs=1e-4)
    assert low < auc < high and 0.08 < high - low < 0.2


def test_intervals_widen_with_correlated_groups() -> None:
    rng = np.random.default_rng(2)
    target, scores = np.repeat(rng.uniform(size=40) < 0.5, 5), np.repeat(rng.normal(size=40), 5)
    single = auc_interval(scores, target, np.arange(200), np.zeros(200, int), 0)
    clustered = auc_interval(scores, target, np.repeat(np.arange(40), 5), np.zeros(200, int), 0)
    assert clustered[2] - clustered[1] > 1.5 * (single[2] - single[1])


def test_matrices_have_a_row_for_every_clip() -> None:
    scenes, features = simulated(5, 3)
    data = audit_data(scenes, features, grouped(scenes))
    assert isinstance(data, AuditData)
    assert {name: matrix.shape for name, matrix in data.features.items()} == {
        "first_frame_colour": (13, 14),
        "clip_colour": (13, 14),
        "length": (13, 2),
        "file_size": (13, 2),
        "codec_resolution_source": (13, 4),
        "motion_energy": (13, 4),
        "technical": (13, 25),
    }
