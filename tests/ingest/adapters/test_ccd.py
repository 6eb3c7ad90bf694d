from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.config import SourceConfig
from hazardline.native import Times
from tests.ingest.datasets import candidates

CCD = SourceConfig(source="ccd")
LABELS = "[" + ", ".join(["0"] * 30 + ["1"] * 20) + "]"
LINE = f"000001,{LABELS},285,-e_DaoY9xYE,Day,Normal,Yes"


def _read(root: Path, *lines: str, name: str = "Crash-1500.txt") -> list[Candidate | Problem]:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("".join(line + "\n" for line in lines))
    return list(candidates(root, CCD))


def test_a_line(tmp_path: Path) -> None:
    assert _read(tmp_path, LINE) == [
        Candidate(
            origin="Crash-1500.txt line 1",
            clip_id="ccd-crash-000001",
            video="videos/Crash-1500/000001.mp4",
            label="crash",
            source="ccd",
            times=Times(crash_start_s=3.0),
            recording_id="youtube:-e_DaoY9xYE",
            light="day",
            ego_involved=True,
        )
    ]


def test_a_header_line_lost_zeros_and_other_spellings(tmp_path: Path) -> None:
    header = "vidname,binlabels,startframe,youtubeID,timing,weather,egoinvolve"
    quoted = f'7,"{LABELS.replace(" ", "")}" , 12, abc-_123, Night , Snowy,No'
    crashes = _read(tmp_path, header, quoted, LINE.replace("Normal", "Rainy"), name="videos/Crash-1500.txt")
    assert [item.clip_id for item in crashes] == ["ccd-crash-000007", "ccd-crash-000001"]
    first, second = crashes
    assert isinstance(first, Candidate) and isinstance(second, Candidate)
    assert (first.light, first.weather, first.ego_involved) == ("night", "snowy", False)
    assert (first.recording_id, second.weather) == ("abc-_123", "rainy")


def test_clips_of_one_video_share_its_recording(tmp_path: Path) -> None:
    items = _read(tmp_path, LINE, LINE.replace("000001", "000002"))
    assert [item.recording_id for item in items if isinstance(item, Candidate)] == ["youtube:-e_DaoY9xYE"] * 2


def test_normal_clips_have_no_annotation(tmp_path: Path) -> None:
    for name in ("Normal/000002.mp4", "Normal/000001.mp4", "Normal/notes.txt", "Crash-1500/000009.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    items = _read(tmp_path, LINE)
    assert [(item.clip_id, item.video) for item in items[1:]] == [
        ("ccd-normal-000001", "videos/Normal/000001.mp4"),
        ("ccd-normal-000002", "videos/Normal/000002.mp4"),
    ]
    assert isinstance(items[1], Candidate) and (items[1].label, items[1].times) == ("normal", Times())


def test_lines_that_cannot_be_understood(tmp_path: Path) -> None:
    short = LINE.replace("0, 0, 0, ", "", 1)
    none = LINE.replace("1, ", "0, ").replace("1]", "0]")
    lines = [short, none, "000003", LINE[:40], LINE.replace("0, ", "2, "), LINE.replace("-e_DaoY9xYE", "../x")]
    lines += [LINE.replace(",285", ",soon"), "x" * 200, LINE.replace("[0, ", "[, ")]
    items = _read(tmp_path, *lines)
    assert [item.reason for item in items if isinstance(item, Problem)] == ["bad_annotation"] * len(lines)
    details = [item.detail for item in items if isinstance(item, Problem)]
    assert "47 labels, expected 50" in details[0] and "no frame of a crash is labelled 1" in details[1]
    assert details[2].startswith("Crash-1500.txt line 3: '000003'; expected name,[50 labels]")


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no CCD here; expected Crash-1500\.txt and videos"):
        list(candidates(tmp_path, CCD))
