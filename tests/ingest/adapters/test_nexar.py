from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest.config import SourceConfig
from tests.ingest.datasets import in_process, select
from tests.video_files import moving_pictures, write_clip

NEXAR = SourceConfig(source="nexar")
HEADER = "id,time_of_event,time_of_alert,target"


def _challenge(root: Path, text: str, numbers: tuple[int, ...] = ()) -> Path:
    for number in numbers:
        write_clip(root / f"train/{number:05}.mp4", moving_pictures(number, 20))
    root.mkdir(exist_ok=True)
    (root / "train.csv").write_text(text, encoding="utf-8")
    return root


def test_the_challenge_layout_with_lost_zeros(tmp_path: Path) -> None:
    rows = ["822,1.5,0.5,1", "00007,,,0", "9.0,1.0,,1.0", "12, nan ,NaN,0"]
    adapter = _challenge(tmp_path, "\n".join([HEADER, *rows]), (822, 7, 9, 12))
    scenes, problems = in_process(adapter, NEXAR)
    assert not problems
    by_id = {s["clip_id"]: s for s in scenes}
    assert list(by_id) == ["nexar-00007", "nexar-00009", "nexar-00012", "nexar-00822"]
    crash = by_id["nexar-00822"]
    assert (crash["label"], crash["source"]) == ("crash", "nexar")
    assert (crash["pre_crash_start_s"], crash["crash_start_s"], crash["crash_end_s"]) == (0.5, 1.5, None)
    assert by_id["nexar-00007"]["label"] == "normal" and by_id["nexar-00007"]["crash_start_s"] is None
    assert by_id["nexar-00009"]["pre_crash_start_s"] is None


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    text = '\ufeff target , extra,time_of_alert,id,time_of_event\r\n1,"a, b",0.5,822,1.5\r\n'
    (scene,), _ = in_process(_challenge(tmp_path, text, (822,)), NEXAR)
    assert (scene["label"], scene["pre_crash_start_s"], scene["crash_start_s"]) == ("crash", 0.5, 1.5)


def test_rows_that_cannot_be_understood(tmp_path: Path) -> None:
    rows = ["one,1,1,1", "1,soon,1,1", "2,1,1,maybe", "3,,,1", "4,1.0,,0", "5", "6,inf,,1", "7,,,0", "007,,,0", "8,,,0"]
    found, problems = select(_challenge(tmp_path, "\n".join([HEADER, *rows]), (7,)), NEXAR)
    assert [candidate.clip_id for candidate in found] == ["nexar-00007"]
    assert [(p.clip_id, p.reason) for p in problems] == [
        ("train.csv row 2", "bad_annotation"),
        ("nexar-00001", "bad_annotation"),
        ("nexar-00002", "bad_annotation"),
        ("nexar-00003", "bad_annotation"),
        ("nexar-00004", "bad_annotation"),
        ("nexar-00005", "bad_annotation"),
        ("nexar-00006", "bad_annotation"),
        ("nexar-00007", "duplicate_id"),
        ("nexar-00008", "missing_file"),
    ]


def test_the_hub_layout(tmp_path: Path) -> None:
    for folder, number in (("positive", 822), ("negative", 7)):
        write_clip(tmp_path / f"train/{folder}/{number:05}.mp4", moving_pictures(number, 20))
    header = "file_name,time_of_event,time_of_alert,light_conditions,weather,scene,time_to_accident"
    (tmp_path / "train/positive/metadata.csv").write_text(f"{header}\n00822.mp4,1.5,0.5,Dark,Rain,Sub-urban,0.5\n")
    (tmp_path / "train/negative/metadata.csv").write_text(f"{header}\n00007.mp4,,,Normal,Cloudy,Other,\n,,,,,,\n")
    scenes, problems = in_process(tmp_path, NEXAR)
    normal, crash = scenes
    assert (normal["clip_id"], normal["label"]) == ("nexar-00007", "normal")
    assert (normal["light"], normal["weather"], normal["scene"]) == ("day", "unknown", "unknown")
    assert (crash["label"], crash["crash_start_s"], crash["pre_crash_start_s"]) == ("crash", 1.5, 0.5)
    assert (crash["light"], crash["weather"], crash["scene"]) == ("night", "rainy", "urban")
    assert [p.reason for p in problems.values()] == ["bad_annotation"]


def test_a_hub_file_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "train/positive").mkdir(parents=True)
    write_clip(tmp_path.parent / "secret.mp4", moving_pictures(0, 5))
    table = tmp_path / "train/positive/metadata.csv"
    table.write_text("file_name,time_of_event,time_of_alert\n../../../secret.mp4,1,0\n")
    _, problems = select(tmp_path, NEXAR)
    assert [p.reason for p in problems] == ["path_outside_root"]


def test_folders_and_tables_that_are_not_nexars(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no Nexar data here; expected train\.csv"):
        select(tmp_path, NEXAR)
    with pytest.raises(UserError, match="no column target; found id, time_of_event, time_of_alert"):
        select(_challenge(tmp_path, "id,time_of_event,time_of_alert\n1,2,3\n"), NEXAR)
    with pytest.raises(UserError, match="no column id, "):
        select(_challenge(tmp_path, ""), NEXAR)
    with pytest.raises(UserError, match="not a table with commas"):
        select(_challenge(tmp_path, HEADER + '\n"' + "x" * 200_000 + '",1,1,1\n'), NEXAR)


def test_a_table_without_rows_gives_nothing(tmp_path: Path) -> None:
    assert select(_challenge(tmp_path, HEADER + "\n"), NEXAR) == ([], [])
