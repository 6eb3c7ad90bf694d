import os
from collections import Counter
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.badas import BadasAdapter
from hazardline.ingest.adapters.dota import DotaAdapter
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import LocalPlace
from hazardline.native import Times
from tests.ingest.datasets import candidates

BADAS = SourceConfig(source="badas")
HEADER = (
    "id,batch,Event-type,Nexar-vehicle-involved,min_support,Time-of-alert,Time-of-collision,Diff,article_category,"
    "ego_discrepancy"
)
DOTA, DADA, DAD = (f"{name}_test_concensus.csv" for name in ("dota", "dada2000_small", "dad"))


def _read(root: Path, rows: list[str], name: str = DOTA, videos: str = "**/*.mp4") -> list[Candidate | Problem]:
    (root / name).write_text("\n".join([HEADER, *rows]) + "\n")
    return list(candidates(root, SourceConfig(source="badas", videos=videos)))


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_collision(tmp_path: Path) -> None:
    _touch(tmp_path, "some/where/0RJPQ_97dcs_003475.mp4")
    assert _read(tmp_path, ["0RJPQ_97dcs_003475.mp4,,Collision,yes,7,2.3,5.7,3.4,pos-ego,"]) == [
        Candidate(
            origin="dota_test_concensus.csv row 2",
            clip_id="badas-dota-0RJPQ_97dcs_003475",
            video="some/where/0RJPQ_97dcs_003475.mp4",
            label="crash",
            source="BADAS-DoTA",
            times=Times(pre_crash_start_s=2.3, crash_start_s=5.7),
            recording_id="youtube:0RJPQ_97dcs",
            published_split="test",
            ego_involved=True,
        )
    ]


def test_a_near_collision_is_a_near_miss(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, ["000459.mp4,,Near-collision,no,7,1.88,3.12,1.24,pos-not-ego"], DAD)
    assert isinstance(item, Candidate)
    assert (item.label, item.times) == ("near_miss", Times(pre_crash_start_s=1.88, event_s=3.12))
    assert (item.clip_id, item.source, item.recording_id) == ("badas-dad-000459", "BADAS-DAD", None)


def test_dadas_ids_are_type_and_video(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, ["10_068.mp4,,Collision,yes,10,5.1,7.2,2.1,excluded (object=motorbike)"], DADA)
    assert isinstance(item, Candidate)
    assert (item.clip_id, item.recording_id) == ("badas-dada-10_068", "dada:10-068")
    assert (item.agents, item.published_split) == (("motorcycle",), "test")


def test_rows_that_the_article_leaves_out_are_clips(tmp_path: Path) -> None:
    kinds = ["less2s", "excluded (not in test split)", "excluded (object=self)", "excluded (object=pedestrian)"]
    rows = [f"10_{n:03}.mp4,,Collision,yes,10,1.3,2.4,1.1,{kind}" for n, kind in enumerate(kinds)]
    items = [item for item in _read(tmp_path, rows, DADA) if isinstance(item, Candidate)]
    assert [item.published_split for item in items] == ["test", None, "test", "test"]
    assert [item.agents for item in items] == [(), (), (), ("pedestrian",)]


def test_where_two_columns_contradict_each_other_the_ego_vehicle_is_unknown(tmp_path: Path) -> None:
    ends = ["yes,7,1,2,1,pos-ego,", "no,7,1,2,1,pos-not-ego,", "no,7,1,2,1,less2s,", "yes,7,1,2,1,pos-not-ego,"]
    ends += ["no,7,1,2,1,pos-ego,", 'yes,7,1,2,1,pos-ego,"csv=yes, json=no"', "maybe,7,1,2,1,less2s,"]
    items = _read(tmp_path, [f"abcdefghijk_{n:06}.mp4,,Collision,{end}" for n, end in enumerate(ends)])
    involved = [item.ego_involved for item in items if isinstance(item, Candidate)]
    assert involved == [True, False, False, None, None, None, None]


def test_videos_are_found_by_name_below_the_pattern(tmp_path: Path) -> None:
    _touch(tmp_path, "dad/000456.mp4", "other/000456.mp4", "dad/000457.mp4", "other/000458.mp4")
    rows = [f"{n:06}.mp4,,Collision,no,9,1,2,1,pos-not-ego" for n in (456, 457, 458)]
    first, second, _ = _read(tmp_path, rows, DAD)
    assert isinstance(first, Problem) and first.reason == "bad_annotation"
    assert "several videos are named 000456.mp4; narrow ingest.videos" in first.detail
    assert second.video == "dad/000457.mp4"
    items = _read(tmp_path, rows, DAD, "dad/*.mp4")
    assert [item.video for item in items] == ["dad/000456.mp4", "dad/000457.mp4", "000458.mp4"]


def test_rows_that_cannot_be_understood(tmp_path: Path) -> None:
    rows = [
        "../x.mp4,,Collision,yes,7,1,2,1,pos-ego,",
        ",,Collision,yes,7,1,2,1,pos-ego,",
        "a_000001.mp4,,Crash,yes,7,1,2,1,pos-ego,",
        "a_000002.mp4,,Collision,yes,7,soon,2,1,pos-ego,",
        "a_000003.mp4,,Collision,yes,7,1,,1,pos-ego,",
        "a_000004.mp4,,Collision,yes,7,1,inf,1,pos-ego,",
        "a_000005.mp4",
    ]
    items = _read(tmp_path, rows)
    assert [item.reason for item in items if isinstance(item, Problem)] == ["bad_annotation"] * len(rows)
    assert [item.clip_id for item in items[:3]] == [f"{DOTA} row 2", f"{DOTA} row 3", "badas-dota-a_000001"]


def test_folders_and_tables_that_are_not_badas(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no BADAS here; expected one or more of dad_test_concensus\.csv"):
        list(candidates(tmp_path, BADAS))
    (tmp_path / DAD).write_text("id,batch\n")
    with pytest.raises(UserError, match="no column Event-type, Nexar-vehicle-involved, Time-of-alert"):
        list(candidates(tmp_path, BADAS))


_REAL = os.environ.get("HAZARDLINE_TEST_ANNOTATIONS")


@pytest.mark.skipif(_REAL is None, reason="HAZARDLINE_TEST_ANNOTATIONS names no folder of real annotations")
def test_the_real_tables_are_read_in_full() -> None:
    root = Path(str(_REAL))
    found = list(BadasAdapter(LocalPlace(root / "badas"), BADAS).candidates())
    items = [item for item in found if isinstance(item, Candidate)]
    assert len(found) == len(items) == 984 == len({item.clip_id for item in items})
    assert Counter((item.source, item.label) for item in items) == {
        ("BADAS-DAD", "crash"): 151,
        ("BADAS-DAD", "near_miss"): 14,
        ("BADAS-DADA-2000", "crash"): 198,
        ("BADAS-DADA-2000", "near_miss"): 23,
        ("BADAS-DoTA", "crash"): 562,
        ("BADAS-DoTA", "near_miss"): 36,
    }
    times = [(item.times.pre_crash_start_s, item.times.crash_start_s or item.times.event_s) for item in items]
    assert all(alert is not None and event is not None and alert < event for alert, event in times)
    assert Counter(item.ego_involved for item in items)[None] == 33
    dota = DotaAdapter(LocalPlace(root / "dota"), SourceConfig(source="dota")).candidates()
    recordings = {item.recording_id for item in dota if isinstance(item, Candidate)}
    assert {item.recording_id for item in items if item.source == "BADAS-DoTA"} <= recordings
