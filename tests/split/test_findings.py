"""What the audit finds on planted data sets, and that it finds nothing where there is nothing."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.split import audit as audit_module
from hazardline.split.assign import SPLITS, assign, of_clips
from hazardline.split.audit import Audit, SplitData, audit_split, sample_groups
from hazardline.split.columns import Clips
from hazardline.split.config import SplitConfig
from hazardline.split.findings import Finding, refusal
from hazardline.split.groups import Groups, Neighbours, group
from hazardline.split.leakage import AuditData, LeakageRow
from hazardline.split.published import Published
from hazardline.split.row_findings import row_findings
from hazardline.split.source_label import cramers_v, rule_accuracy
from tests.split.tables import scene, simulated

CONFIG = SplitConfig()


def audited(
    scenes: list[dict[str, Any]],
    features: list[dict[str, Any]],
    config: SplitConfig = CONFIG,
    neighbours: Sequence[Neighbours] = (),
    splits: dict[str, str] | None = None,
) -> Audit:
    """The audit of rows, split as configured or as given."""
    clips = Clips.of_rows(scenes)
    groups = group(clips, neighbours, config.group_by)
    published = Published.of(clips, groups)
    used = published if config.use_published else None
    of_clip = of_clips(assign(clips, groups, config, used), groups, config, used)
    if splits is not None:
        of_clip = np.array([SPLITS.index(splits[i]) for i in clips.ids.to_pylist()], np.int8)  # type: ignore[arg-type]
    table = pa.Table.from_pylist(features, schema=FEATURES.schema)

    def batches(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return iter(table.select(list(names)).to_batches())

    return audit_split(SplitData(clips, batches, groups, of_clip, neighbours, published), config)


@pytest.fixture
def no_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted needs no classifier: they are slow."""

    def none(data: AuditData, limit_auc: float, seed: int = 0) -> list[LeakageRow]:
        return []

    monkeypatch.setattr(audit_module, "audit", none)


def named(found: Audit, name: str) -> Finding:
    return next(finding for finding in found.findings if finding.name == name)


def from_two_sources(num_pairs: int, num_normal: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """As in CrashChat's released sets: crashes of one source, everything else of two others."""
    scenes, features = simulated(num_pairs, num_normal)
    for k, row in enumerate(scenes):
        row["source"] = "MM-AU-CAP" if row["label"] == "crash" else ("D2City", "Nexar")[k % 2]
        row["pair_id"] = None
    return scenes, features


def test_where_the_source_is_the_label_the_audit_is_critical() -> None:
    found = audited(*from_two_sources(60, 40))
    finding = found.findings[0]
    assert finding.severity == "critical"
    source = named(found, "source_against_label")
    assert source.severity == "critical" and source.effect is not None and source.effect > 0.99
    assert source.numbers["rule_accuracy"] == 1.0
    assert source.numbers["majority_accuracy"] == 0.625 and source.numbers["cramers_v_test"] > 0.98
    assert source.numbers["clips_in_sources_of_one_label"] == 160
    assert "Add negatives from the sources of the crashes" in refusal(found.findings, "critical")


def test_on_twins_the_audit_finds_nothing_grave() -> None:
    found = audited(*simulated(60, 40))
    assert {finding.severity for finding in found.findings} <= {"info"}
    assert named(found, "technical_features").is_measured
    assert found.findings == audited(*simulated(60, 40)).findings  # the same numbers again


@pytest.mark.usefixtures("no_classifiers")
def test_a_source_that_leans_is_less_grave_than_one_that_decides() -> None:
    severities = []
    for share in (0.0, 0.35, 0.75, 1.0):
        scenes, features = simulated(200, 0)
        for k, row in enumerate(scenes):
            row["pair_id"] = None
            leans = (k // 2) % 20 < 20 * share
            row["source"] = "xy"[row["label"] == "crash"] if leans else "xy"[(k // 2) % 2]
        severities.append(named(audited(scenes, features), "source_against_label").severity)
    assert severities == ["info", "warning", "serious", "critical"]


@pytest.mark.usefixtures("no_classifiers")
def test_a_source_of_its_own_for_every_clip_says_nothing() -> None:
    scenes, features = simulated(40, 0)
    for row in scenes:
        row["source"] = row["clip_id"]
    finding = named(audited(scenes, features), "source_against_label")
    assert finding.severity == "info" and finding.effect == 0.0


def test_cramers_v_and_the_rule() -> None:
    tables = np.array([[50.0, 0, 0, 50], [25, 25, 25, 25], [40, 10, 10, 40], [50, 0, 50, 0]])
    values = cramers_v(tables)
    assert values[0] == pytest.approx(1.0) and values[1] == 0.0 and np.isnan(values[3])
    assert values[2] == pytest.approx(0.6, abs=0.01)  # phi of the table is .6; the correction takes a little
    assert rule_accuracy(tables).tolist() == [1.0, 0.5, 0.8, 1.0]


@pytest.mark.parametrize("label", ["normal", "crash"])
def test_one_label_is_a_finding_and_no_crash(label: str) -> None:
    scenes, features = simulated(0, 50)
    for row in scenes:
        row["label"] = label
    found = audited(scenes, features)
    assert found.rows == [] and named(found, "one_label").severity == "serious"
    assert f"All 50 clips are labelled {label}" in named(found, "one_label").sentence


def test_too_few_clips_are_not_measured_and_that_is_no_all_clear() -> None:
    found = audited(*simulated(8, 4))
    finding = named(found, "too_few_clips")
    assert finding.severity == "serious" and not finding.is_measured and finding.effect is None
    assert "crash_vs_near_miss (8 and 8 clips)" in finding.sentence
    assert not named(found, "test_near_train").is_measured
    assert not any(finding.name == "technical_features" for finding in found.findings)


def test_severities_of_rows() -> None:
    def row(feature: str, low: float) -> LeakageRow:
        return LeakageRow(
            feature=feature,
            comparison="crash_vs_rest",
            auc=low + 0.02,
            low=low,
            high=low + 0.04,
            num_crash=50,
            num_other=50,
            num_groups=50,
            verdict="leaks" if low > 0.7 else "ok",
        )

    rows = [row("technical", 0.96), row("file_size", 0.8), row("motion_energy", 0.9), row("length", 0.6)]
    found = {finding.sentence.split()[0]: finding for finding in row_findings(rows, 0.7)}
    assert {name: finding.severity for name, finding in found.items()} == {
        "technical": "critical",
        "file_size": "serious",
        "motion_energy": "warning",  # a crash moves: that alone is no proof
    }
    assert "countermeasure normalise" in found["technical"].remedy


@pytest.mark.usefixtures("no_classifiers")
def test_copies_in_the_test_set_make_it_suspiciously_near() -> None:
    scenes, features = simulated(0, 200)
    splits = {row["clip_id"]: ("train", "validation", "test")[k % 10 // 4] for k, row in enumerate(scenes)}
    honest = named(audited(scenes, features, splits=splits), "test_near_train")
    assert honest.severity == "info" and honest.effect is not None and honest.effect < 0.15
    train = [row for row in features if splits[row["clip_id"]] == "train"]
    copied = 0
    for row in features:
        if splits[row["clip_id"]] == "test" and copied < 25:
            row.update({**train[copied], "clip_id": row["clip_id"], "motion_energy": [0.5, 0.5, 0.5, 0.5]})
            row["motion_energy"] = [value + 0.01 for value in train[copied]["motion_energy"]]
            copied += 1
    planted = named(audited(scenes, features, splits=splits), "test_near_train")
    assert planted.severity == "serious" and planted.effect is not None and planted.effect > 0.4


@pytest.mark.usefixtures("no_classifiers")
def test_labels_that_contradict_each_other_are_counted() -> None:
    scenes, features = simulated(20, 20)
    pairs = [Neighbours("crash-0000", "normal-0000", 1.0), Neighbours("crash-0001", "near_miss-0001", 1.0)]
    found = audited(scenes, features, neighbours=pairs)
    noise = named(found, "label_noise")
    assert noise.numbers["num_pairs_with_other_label"] == 1 and noise.severity == "serious"  # 1 of 60 clips
    assert named(found, "near_duplicates").severity == "info"


@pytest.mark.usefixtures("no_classifiers")
def test_a_split_without_a_label_and_kinds_without_test_clips_are_found() -> None:
    scenes, features = simulated(30, 12)
    for row in scenes:
        row["scenario"] = "rare" if row["label"] == "normal" else row["scenario"]
    splits = {row["clip_id"]: "train" for row in scenes}
    for k in range(30):
        for label in ("crash", "near_miss"):
            splits[f"{label}-{k:04}"] = ("train", "validation", "test")[k % 3]
    found = audited(scenes, features, splits=splits)
    assert named(found, "class_balance").severity == "serious"
    assert "test has no normal" in named(found, "class_balance").sentence
    strata = named(found, "strata_without_test")
    assert strata.severity == "warning" and strata.numbers["clips_without_test"] == 12
    assert "normal/rare" in strata.sentence


@pytest.mark.usefixtures("no_classifiers")
def test_a_published_split_that_tears_groups_is_critical_where_it_is_used() -> None:
    scenes, features = simulated(20, 20)
    for k, row in enumerate(scenes):
        row["published_split"] = ("train", "validation", "test")[k % 3]
    used = named(audited(scenes, features, SplitConfig(use_published=True)), "published_split")
    assert used.severity == "critical" and used.numbers["num_torn_groups"] == 20 and used.numbers["num_moved"] == 20
    assert "use_published to false" in used.remedy
    assert named(audited(scenes, features), "published_split").severity == "info"


@pytest.mark.usefixtures("no_classifiers")
def test_a_torn_split_that_is_kept_exactly_is_reported_as_the_leak_that_it_is() -> None:
    scenes, features = simulated(20, 20)
    for k, row in enumerate(scenes):
        row["published_split"] = ("train", "validation", "test")[k % 3]
    copies = [Neighbours(scenes[0]["clip_id"], scenes[1]["clip_id"], 0.1)]
    found = audited(scenes, features, SplitConfig(use_published="exactly"), copies)
    kept = named(found, "published_split")
    assert kept.severity == "critical" and kept.numbers["num_torn_groups"] == 20 and kept.numbers["num_moved"] == 0
    assert "is kept exactly" in kept.sentence and "use_published to true" in kept.remedy
    near = named(found, "near_duplicates")
    assert near.severity == "critical" and near.numbers["num_across_splits"] == 1


def test_a_sample_takes_whole_groups() -> None:
    of_clip = np.repeat(np.arange(1000), 3).astype(np.int32)
    groups = Groups(np.arange(0, 3000, 3, dtype=np.int32), of_clip)
    rows = sample_groups(groups, 300, 0)
    assert len(rows) == 300 and (np.bincount(of_clip[rows]) % 3 == 0).all()
    assert np.array_equal(rows, sample_groups(groups, 300, 0))
    assert len(sample_groups(groups, 3000, 0)) == 3000


@pytest.mark.usefixtures("no_classifiers")
def test_the_document_says_that_it_is_of_a_sample() -> None:
    scenes, features = simulated(80, 0)
    assert audited(scenes, features, SplitConfig(audit_max_clips=100)).num_audited == 100


@pytest.mark.usefixtures("no_classifiers")
def test_features_of_other_clips_are_refused() -> None:
    scenes, features = simulated(20, 0)
    with pytest.raises(UserError, match=r"features\.parquet: its clips are not those"):
        audited(scenes, features[:-1])
    with pytest.raises(UserError, match=r"features\.parquet: its clips are not those"):
        audited([*scenes[:-1], scene("zz")], features)
