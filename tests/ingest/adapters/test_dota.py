import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.dota import DotaAdapter
from hazardline.ingest.checks import check_times
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import LocalPlace
from hazardline.native import Times
from tests.ingest.datasets import candidates

DOTA = SourceConfig(source="dota")
ENTRY = {
    "video_start": 199,
    "video_end": 305,
    "anomaly_start": 40,
    "anomaly_end": 70,
    "anomaly_class": "ego: leave_to_right",
    "num_frames": 107,
    "subset": "train",
}


def _read(root: Path, entries: dict[str, Any], name: str = "metadata_train.json") -> list[Candidate | Problem]:
    (root / name).write_text(json.dumps(entries))
    return list(candidates(root, DOTA))


def test_an_entry(tmp_path: Path) -> None:
    assert _read(tmp_path, {"0RJPQ_97dcs_000199": ENTRY}) == [
        Candidate(
            origin="metadata_train.json 0RJPQ_97dcs_000199",
            clip_id="dota-0RJPQ_97dcs_000199",
            video="frames/0RJPQ_97dcs_000199/images",
            fps=10.0,
            label="crash",
            source="dota",
            times=Times(crash_start_s=4.0, crash_end_s=7.0),
            recording_id="youtube:0RJPQ_97dcs",
            published_split="train",
            scenario="leave_to_right",
            accident_type="leave to right",
            ego_involved=True,
        )
    ]


def test_youtube_ids_hold_underscores_and_dashes(tmp_path: Path) -> None:
    names = ["0RJPQ_97dcs_000199", "_-a_000123__000001", "-_________-_999999", "abcdefghijk_000001"]
    items = _read(tmp_path, dict.fromkeys(names, ENTRY))
    recordings = [item.recording_id for item in items if isinstance(item, Candidate)]
    assert recordings == [f"youtube:{name}" for name in ("0RJPQ_97dcs", "_-a_000123_", "-_________-", "abcdefghijk")]


def test_classes_and_splits(tmp_path: Path) -> None:
    other = {**ENTRY, "anomaly_class": "other: unknown"}
    _read(tmp_path, {"abcdefghijk_000001": ENTRY})
    train, validation = _read(tmp_path, {"abcdefghijk_000002": other}, "metadata_val.json")
    assert isinstance(train, Candidate) and isinstance(validation, Candidate)
    assert (train.published_split, validation.published_split) == ("train", "validation")
    assert (validation.ego_involved, validation.accident_type, validation.scenario) == (False, None, "unknown")


def test_an_anomaly_at_the_borders_of_its_clip(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, {"abcdefghijk_000001": {**ENTRY, "anomaly_start": 0, "anomaly_end": 107}})
    assert isinstance(item, Candidate)
    assert item.times == Times(crash_start_s=0.0, crash_end_s=10.7) and check_times(item, 10.7, 10.0) is None


def test_the_annotation_of_a_clip_names_its_road_users(tmp_path: Path) -> None:
    kinds = [["car", "truck"], [], ["person", "rider", "Motorcycle", "bus", "unicorn"]]
    labels = [{"frame_id": n, "objects": [{"category": k, "bbox": [1, 2]} for k in ks]} for n, ks in enumerate(kinds)]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/abcdefghijk_000001.json").write_text(json.dumps({"night": True, "labels": labels}))
    with_file, without = _read(tmp_path, {"abcdefghijk_000001": ENTRY, "abcdefghijk_000002": ENTRY})
    assert isinstance(with_file, Candidate) and isinstance(without, Candidate)
    assert with_file.agents == ("bus", "car", "cyclist", "motorcycle", "pedestrian", "truck")
    assert (with_file.light, without.light, without.agents) == ("night", "unknown", ())


def test_a_broken_annotation_of_a_clip_is_told(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/abcdefghijk_000001.json").write_text('{"labels": [')
    bad, good = _read(tmp_path, {"abcdefghijk_000001": ENTRY, "abcdefghijk_000002": ENTRY})
    assert isinstance(bad, Problem) and (bad.clip_id, bad.reason) == ("dota-abcdefghijk_000001", "bad_annotation")
    assert isinstance(good, Candidate)


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    names = ["../../etc_000001", "/etc/passwd", "a\0b_000001", "abc", "x" * 300 + "_000001", "abcdefghijk_0000001"]
    items = _read(tmp_path, dict.fromkeys([*names, "abcdefghijk_000001"], ENTRY))
    reasons = [item.reason if isinstance(item, Problem) else "" for item in items]
    assert reasons == ["bad_annotation"] * 5 + ["bad_annotation", ""]


def test_entries_that_cannot_be_understood(tmp_path: Path) -> None:
    wrong: list[Any] = [
        None,
        [],
        {},
        {**ENTRY, "anomaly_start": "40"},
        {**ENTRY, "anomaly_end": 7.5},
        {**ENTRY, "anomaly_start": True},
        {**ENTRY, "anomaly_class": "turning"},
        {**ENTRY, "anomaly_class": 3},
        {**ENTRY, "anomaly_class": "ego: a b"},
    ]
    items = _read(tmp_path, {f"abcdefghijk_{n:06}": entry for n, entry in enumerate(wrong)})
    assert [item.reason for item in items if isinstance(item, Problem)] == ["bad_annotation"] * len(wrong)


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no DoTA here; expected metadata_train\.json and metadata_val\.json"):
        list(candidates(tmp_path, DOTA))
    (tmp_path / "metadata_val.json").write_text("{}")
    assert list(candidates(tmp_path, DOTA)) == []
    (tmp_path / "metadata_val.json").write_text("[]")
    with pytest.raises(UserError, match=r"does not begin with '\{'; expected DoTA's metadata"):
        list(candidates(tmp_path, DOTA))


_REAL = os.environ.get("HAZARDLINE_TEST_ANNOTATIONS")


@pytest.mark.skipif(_REAL is None, reason="HAZARDLINE_TEST_ANNOTATIONS names no folder of real annotations")
def test_the_real_metadata_are_read_in_full() -> None:
    root = Path(str(_REAL)) / "dota"
    found = list(DotaAdapter(LocalPlace(root), DOTA).candidates())
    items = [item for item in found if isinstance(item, Candidate)]
    assert len(found) == len(items) == 4_677
    assert Counter(item.published_split for item in items) == {"train": 3_275, "validation": 1_402}
    assert len({item.clip_id for item in items}) == 4_677
    assert all(item.recording_id is not None and item.recording_id.startswith("youtube:") for item in items)
    assert len({item.scenario for item in items}) == 10
    lengths: dict[str, int] = {}
    for name in ("metadata_train.json", "metadata_val.json"):
        lengths |= {clip: entry["num_frames"] for clip, entry in json.loads((root / name).read_text()).items()}
    late = [p for item in items if (p := check_times(item, lengths[item.clip_id[5:]] / 10, 10.0)) is not None]
    assert [(p.clip_id, p.reason) for p in late] == [("dota-gXezhrOijmQ_004598", "times_outside_clip")]
