import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hazardline import video
from hazardline.cli.main import app
from hazardline.countermeasures.folder import LeftOut, Plan
from hazardline.countermeasures.negatives import NegativesConfig, census, make_negatives, plan_negative
from hazardline.progress import SilentReporter
from hazardline.tables import SCENES, read_table, write_table
from tests.countermeasures.footage import ingested
from tests.ingest.datasets import clip, write_manifest
from tests.split.tables import grouped, scene
from tests.video_files import moving_pictures, write_clip

CONFIG = NegativesConfig(margin_s=0.5, min_length_s=1.0)


def _crash(name: str, pre_crash_start_s: float | None, **more: Any) -> dict[str, Any]:
    times = {"crash_start_s": 2.6, "crash_end_s": 2.8}
    if pre_crash_start_s is not None:
        times["pre_crash_start_s"] = pre_crash_start_s
    return clip(name, f"{name}.mp4", "crash", times=times, source="cap", description="A car hits a van.", **more)


@pytest.fixture(scope="module")
def crashes_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crashes")
    lines = [
        _crash("a", 2.5, channel_id="UC1"),
        _crash("b", 2.0, recording_id="r1"),
        _crash("soon", 1.2),
        _crash("untimed", None),
        clip("other", "other.mp4", "normal", source="d2city"),
    ]
    for seed, line in enumerate(lines):
        write_clip(root / "clips" / line["video"], moving_pictures(seed, 30))
    return ingested(write_manifest(root / "clips", lines), root / "ingest")


def test_the_census_counts_by_source() -> None:
    rows = [
        scene(f"c{k}", label, source=source)
        for k, (label, source) in enumerate(
            [("crash", "x"), ("crash", "x"), ("near_miss", "x"), ("crash", "y"), ("normal", "z")]
        )
    ]
    found = census(iter(rows))
    assert {name: item.num_lacking for name, item in found.items()} == {"x": 1, "y": 1, "z": 0}


def test_negatives_are_cut_before_the_first_sign(crashes_only: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    report = make_negatives(CONFIG, crashes_only, made, SilentReporter())
    assert report.by_reason == {"no_pre_crash_time": 1, "too_short": 1}
    by_source = {item.source: item for item in report.sources}
    assert (by_source["cap"].num_lacking, by_source["cap"].num_made, report.numbers["num_still_lacking"]) == (4, 2, 2)
    again = {row["clip_id"]: row for row in read_table(SCENES, ingested(made, tmp_path / "again"))}
    assert set(again) == {"a-before", "b-before"}
    first = again["a-before"]
    kept = first["label"], first["source"], first["channel_id"], first["description"]
    assert kept == ("normal", "cap", "UC1", None)
    assert first["num_frames"] == 20 and again["b-before"]["num_frames"] == 15  # 2.5 - 0.5 s and 2.0 - 0.5 s at 10 Hz
    crash = {row["clip_id"]: row for row in read_table(SCENES, crashes_only)}["a"]
    ours = video.decode(Path(first["video_uri"]), 10.0, 144, 96).astype(int)
    theirs = video.decode(Path(crash["video_uri"]), 10.0, 144, 96).astype(int)[:20]
    assert abs(ours - theirs).mean() < 6


def test_a_split_never_parts_a_negative_from_its_crash(crashes_only: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    make_negatives(CONFIG, crashes_only, made, SilentReporter())
    rows = read_table(SCENES, crashes_only) + read_table(SCENES, ingested(made, tmp_path / "again"))
    groups = grouped([{**row, "channel_id": None} for row in rows])
    assert groups["a"] == groups["a-before"] and groups["b"] == groups["b-before"]
    assert len(set(groups.values())) == 5


def test_no_more_are_made_than_lack(tmp_path: Path, crashes_only: Path) -> None:
    rows = read_table(SCENES, crashes_only)
    more = [{**rows[0], "clip_id": f"n{k}", "label": "normal", "source": "cap"} for k in range(3)]
    few, made = tmp_path / "few", tmp_path / "made"
    few.mkdir()
    made.mkdir()
    write_table(SCENES, few, [*rows, *more])
    report = make_negatives(CONFIG, few, made, SilentReporter())
    assert report.num_made == 1 and report.by_reason["not_needed"] == 1


def test_of_a_long_window_the_last_part_is_taken(tmp_path: Path) -> None:
    planned = plan_negative(scene("a", "crash", pre_crash_start_s=30.0), CONFIG, tmp_path)
    assert isinstance(planned, Plan) and (planned.job.start_s, planned.job.length_s) == (19.5, 10.0)
    left = plan_negative(scene("a", "crash", pre_crash_start_s=1.4), CONFIG, tmp_path)
    assert isinstance(left, LeftOut) and left.detail == "0.90 s before the first sign and its margin, 1.0 s are needed"


def test_the_commands(crashes_only: Path, tmp_path: Path) -> None:
    given = ["--input", f"ingest={crashes_only}"]
    found = CliRunner().invoke(app, ["countermeasure", "negatives", *given])
    assert found.exit_code == 0 and "cap: 4 crashes, 0 negatives, 4 lacking" in found.output
    options = ["--width-px", "96", "--height-px", "64", "--out", str(tmp_path / "made")]
    found = CliRunner().invoke(app, ["countermeasure", "normalise", *given, *options])
    assert found.exit_code == 0, found.output
    report = json.loads((tmp_path / "made" / "countermeasure.json").read_text())
    assert report["num_made"] == 5 and (tmp_path / "made" / "manifest.jsonl").is_file()
