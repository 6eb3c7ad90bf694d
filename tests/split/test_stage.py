from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.ingest.fingerprints import FINGERPRINTS
from hazardline.progress import SilentReporter
from hazardline.split import stage
from hazardline.split.config import SplitConfig
from hazardline.split.stage import LeakageReport
from hazardline.tables import ASSIGNMENT, SCENES, read_table, write_table
from tests.split.tables import fingerprints, frames, simulated


def _ingested(
    folder: Path,
    scenes: list[dict[str, Any]],
    features: list[dict[str, Any]],
    known: dict[str, np.ndarray] | None = None,
) -> dict[str, Path]:
    folder.mkdir()
    write_table(SCENES, folder, sorted(scenes, key=lambda row: str(row["clip_id"])))
    write_table(FINGERPRINTS, folder, fingerprints(scenes, known))
    write_table(FEATURES, folder, features)
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
    assert len(report.rows) == 18
    stage.run(SplitConfig(), inputs, _out(tmp_path, "b"), SilentReporter())
    for name in ("assignment.parquet", "leakage.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_leak_can_fail_the_stage(tmp_path: Path) -> None:
    scenes, features = simulated(24, 16)
    for scene in scenes:
        scene["size_bytes"] += 50_000 * (scene["label"] == "crash")
    inputs = _ingested(tmp_path / "ingest", scenes, features)
    with pytest.raises(UserError, match="file_size crash_vs_near_miss AUC"):
        stage.run(SplitConfig(fail_on_leakage=True), inputs, _out(tmp_path, "b"), SilentReporter())


def test_fingerprints_of_other_clips_are_refused(tmp_path: Path) -> None:
    scenes, features = simulated(6, 4)
    inputs = _ingested(tmp_path / "ingest", scenes, features)
    for rows in (fingerprints(scenes[1:]), fingerprints([*scenes, {"clip_id": "z"}])):
        write_table(FINGERPRINTS, inputs["ingest"], rows)
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
