from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hazardline.errors import RefusedOutputError, UserError
from hazardline.ingest.features import FEATURES
from hazardline.ingest.fingerprints import FINGERPRINTS
from hazardline.progress import SilentReporter
from hazardline.split import stage
from hazardline.split.config import SplitConfig
from hazardline.split.document import LeakageReport
from hazardline.tables import ASSIGNMENT, SCENES, read_table, write_table
from tests.split.tables import fingerprints, frames, simulated


def _ingested(
    folder: Path,
    scenes: list[dict[str, Any]],
    features: list[dict[str, Any]],
    known: dict[str, np.ndarray] | None = None,
) -> dict[str, Path]:
    folder.mkdir()
    write_table(SCENES, folder, scenes)
    write_table(FEATURES, folder, features)
    write_table(FINGERPRINTS, folder, fingerprints(scenes, known))
    return {"ingest": folder}


def _out(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_the_stage_writes_the_split_and_the_audit(tmp_path: Path) -> None:
    scenes, features = simulated(24, 16)
    known = {scenes[0]["clip_id"]: frames(7), scenes[-1]["clip_id"]: frames(7)[4:]}  # a crash and a normal clip
    inputs = _ingested(tmp_path / "ingest", scenes, features, known)
    first = stage.run(SplitConfig(), inputs, _out(tmp_path, "a"), SilentReporter())
    rows = read_table(ASSIGNMENT, tmp_path / "a")
    assert [row["clip_id"] for row in rows] == sorted(s["clip_id"] for s in scenes)
    counts = Counter(row["split"] for row in rows)
    report = LeakageReport.read(tmp_path / "a" / "leakage.json")
    assert report.data() == first
    assert {name: split.num_clips for name, split in report.splits.items()} == counts
    assert sum(split.num_groups for split in report.splits.values()) == report.num_groups == 39
    neighbours = report.neighbours
    assert (neighbours.num_pairs, neighbours.num_pairs_with_other_label, neighbours.num_across_splits) == (1, 1, 0)
    assert (neighbours.num_trimmed, neighbours.num_mirrored, neighbours.num_clips_in_largest_group) == (1, 0, 2)
    assert len(report.rows) == 21
    stage.run(SplitConfig(), inputs, _out(tmp_path, "b"), SilentReporter())
    for name in ("assignment.parquet", "leakage.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_leak_can_fail_the_stage(tmp_path: Path) -> None:
    scenes, features = simulated(24, 16)
    for scene in scenes:
        scene["size_bytes"] += 50_000 * (scene["label"] == "crash")
    inputs = _ingested(tmp_path / "ingest", scenes, features)
    out = _out(tmp_path, "b")
    with pytest.raises(RefusedOutputError, match="file_size crash_vs_near_miss AUC") as caught:
        stage.run(SplitConfig(refuse_severity="serious"), inputs, out, SilentReporter())
    assert "Remedy: Re-encode every clip alike" in str(caught.value)
    assert LeakageReport.read(out / "leakage.json").findings[0].severity in ("serious", "critical")
    assert len(read_table(ASSIGNMENT, out)) == len(scenes)
    stage.run(SplitConfig(refuse_severity=None), inputs, _out(tmp_path, "c"), SilentReporter())


def test_fingerprints_of_other_clips_are_refused(tmp_path: Path) -> None:
    scenes, features = simulated(6, 4)
    inputs = _ingested(tmp_path / "ingest", scenes, features)
    for rows in (scenes[1:], [*scenes, {"clip_id": "z"}], scenes[::-1]):
        write_table(FINGERPRINTS, inputs["ingest"], fingerprints(rows))
        with pytest.raises(UserError, match=r"fingerprints\.parquet: .* run ingest again"):
            stage.run(SplitConfig(), inputs, tmp_path, SilentReporter())


def test_tables_of_another_stage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"scenes\.parquet"):
        stage.run(SplitConfig(), {"ingest": tmp_path}, _out(tmp_path, "a"), SilentReporter())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"train_share": 0.9}, "add up to 1.35"),
        ({"test_share": 0.0}, "recipe: test_share"),
        ({"salt": ""}, "recipe: salt"),
        ({"near_duplicate_distance": 40}, "recipe: near_duplicate_distance"),
        ({"leakage_limit": 0.7}, "recipe: leakage_limit: unknown key"),
    ],
)
def test_configuration_errors_name_the_field(value: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SplitConfig.parse(value, "recipe")


def test_data_whose_source_is_its_label_are_refused_without_being_asked(tmp_path: Path) -> None:
    scenes, features = simulated(30, 30)
    for scene in scenes:
        scene["source"] = "MM-AU-CAP" if scene["label"] == "crash" else "D2City"
        scene["pair_id"] = None
    inputs = _ingested(tmp_path / "ingest", scenes, features)
    with pytest.raises(RefusedOutputError, match=r"critical: source_against_label: Cramer's V 1\.00") as caught:
        stage.run(SplitConfig(), inputs, _out(tmp_path, "a"), SilentReporter())
    assert "Remedy: Add negatives from the sources of the crashes" in str(caught.value)


def test_twins_pass_the_strictest_bound(tmp_path: Path) -> None:
    scenes, features = simulated(60, 40)
    inputs = _ingested(tmp_path / "ingest", scenes, features)
    report = stage.run(SplitConfig(refuse_severity="warning"), inputs, _out(tmp_path, "a"), SilentReporter())
    assert {finding["severity"] for finding in report["findings"]} == {"info"}
