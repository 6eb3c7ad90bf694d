from pathlib import Path
from typing import Any

import pytest

from hazardline import video
from hazardline.countermeasures.folder import LeftOut
from hazardline.countermeasures.normalise import NormaliseConfig, moved, normalise, place_window, plan_clip
from hazardline.errors import UserError
from hazardline.files import sha256_tree
from hazardline.native import Times
from hazardline.progress import SilentReporter
from hazardline.split import stage as split_stage
from hazardline.split.config import SplitConfig
from hazardline.split.document import LeakageReport
from hazardline.tables import QUARANTINE, SCENES, read_table, write_table
from tests.countermeasures.footage import ingested, planted
from tests.split.tables import scene

CONFIG = NormaliseConfig(width_px=96, height_px=64, fps=10.0)


def _severity(ingest: Path, out: Path) -> dict[str, str]:
    out.mkdir()
    split_stage.run(SplitConfig(refuse_severity=None), {"ingest": ingest}, out, SilentReporter())
    return {found.name: found.severity for found in reversed(LeakageReport.read(out / "leakage.json").findings)}


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("leaking")
    return ingested(planted(root / "clips", 18), root / "ingest")


def test_a_planted_technical_leak_is_found_and_gone_after_encoding_alike(leaking: Path, tmp_path: Path) -> None:
    assert _severity(leaking, tmp_path / "before")["technical_features"] in ("serious", "critical")
    made = tmp_path / "made"
    made.mkdir()
    report = normalise(CONFIG, leaking, made, SilentReporter())
    assert (report.num_made, report.num_left_out, report.numbers["num_scaled_up"]) == (36, 0, 0)
    after = _severity(ingested(made, tmp_path / "again"), tmp_path / "after")
    assert after["technical_features"] == "info" and after["cheap_features"] == "info"


def test_annotations_are_kept_and_every_clip_is_alike(leaking: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    rows = [row for row in read_table(SCENES, leaking) if row["clip_id"].endswith(("00", "01"))]
    _write(rows, few)
    made = [tmp_path / "a", tmp_path / "b"]
    for folder in made:
        folder.mkdir()
        normalise(CONFIG, few, folder, SilentReporter())
    assert sha256_tree(made[0]) == sha256_tree(made[1])  # the same bytes a second time
    again = {row["clip_id"]: row for row in read_table(SCENES, ingested(made[0], tmp_path / "again"))}
    changed = {"video_uri", "sha256", "size_bytes", "codec", "width_px", "height_px"}
    for row in rows:
        found = again[row["clip_id"]]
        for name in found.keys() - changed:
            assert found[name] == row[name], name
        assert (found["codec"], found["width_px"], found["height_px"], found["fps"]) == ("h264", 96, 64, 10.0)


def test_one_length_moves_the_times_and_leaves_short_clips_out(leaking: Path, tmp_path: Path) -> None:
    few, made = tmp_path / "few", tmp_path / "made"
    few.mkdir()
    made.mkdir()
    rows = [row for row in read_table(SCENES, leaking) if row["clip_id"].endswith("00")]
    _write([*rows, {**rows[0], "clip_id": "zz", "sha256": "z", "duration_s": 1.0}], few)
    report = normalise(NormaliseConfig(width_px=96, height_px=64, length_s=1.5), few, made, SilentReporter())
    assert (report.num_made, report.by_reason) == (2, {"too_short": 1})
    assert [row["clip_id"] for row in read_table(QUARANTINE, made)] == ["zz"]
    again = {row["clip_id"]: row for row in read_table(SCENES, ingested(made, tmp_path / "again"))}
    assert {row["num_frames"] for row in again.values()} == {15}
    crash = again["crash00"]
    assert crash["crash_start_s"] - crash["pre_crash_start_s"] == pytest.approx(0.4)
    assert 0 <= crash["pre_crash_start_s"] and crash["crash_end_s"] <= 1.5


def _write(rows: list[dict[str, Any]], folder: Path) -> None:
    write_table(SCENES, folder, rows)


def test_a_window_holds_everything_that_is_timed() -> None:
    times = Times(pre_crash_start_s=4.0, crash_start_s=5.0, crash_end_s=6.0)
    starts = [place_window(f"c{k}", 20.0, times, 5.0) for k in range(200)]
    assert all(isinstance(start, float) and 1.0 <= start <= 4.0 for start in starts)
    assert max(starts) - min(starts) > 2.5  # the place does not tell the event
    assert place_window("c", 20.0, times, 1.5) == "event_too_long"
    assert place_window("c", 3.0, Times(), 5.0) == "too_short"
    shifted = moved(times, 3.5, 5.0)
    assert (shifted.pre_crash_start_s, shifted.crash_end_s, shifted.event_s) == (0.5, 2.5, None)


def test_images_and_wrong_sizes_are_refused(tmp_path: Path) -> None:
    left = plan_clip(scene("a", duration_s=0.0), CONFIG, tmp_path)
    assert isinstance(left, LeftOut) and left.reason == "image"
    with pytest.raises(UserError, match="normalise: width_px"):
        NormaliseConfig.parse({"width_px": 97}, "normalise")


def test_another_shape_is_cut_and_not_bent(leaking: Path, tmp_path: Path) -> None:
    few, made = tmp_path / "few", tmp_path / "made"
    few.mkdir()
    made.mkdir()
    rows = [row for row in read_table(SCENES, leaking) if row["clip_id"] == "normal00"]
    _write(rows, few)
    normalise(NormaliseConfig(width_px=64, height_px=64, crf=5), few, made, SilentReporter())
    path = next(made.rglob("*.mp4"))
    ours = video.decode(path, 10.0, 64, 64).astype(int)
    original = Path(rows[0]["video_uri"])
    cut = video.decode(original, 10.0, 96, 64).astype(int)[:, :, 16:80]
    bent = video.decode(original, 10.0, 64, 64).astype(int)
    assert ours.shape == cut.shape  # half of the colour's resolution goes with yuv420p
    assert abs(ours - cut).mean() < 8 and abs(ours - bent).mean() > 15


def test_a_file_that_cannot_be_read_is_left_out_with_its_reason(leaking: Path, tmp_path: Path) -> None:
    few, made = tmp_path / "few", tmp_path / "made"
    few.mkdir()
    made.mkdir()
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = [row for row in read_table(SCENES, leaking) if row["clip_id"] == "normal00"]
    _write([{**rows[0], "clip_id": "bad", "video_uri": str(tmp_path / "bad.mp4")}, *rows], few)
    report = normalise(CONFIG, few, made, SilentReporter())
    assert (report.num_made, report.by_reason) == (1, {"unreadable": 1})
    _write([{**rows[0], "clip_id": "bad", "video_uri": str(tmp_path / "bad.mp4")}], few)
    with pytest.raises(UserError, match="no clip was made of 1: unreadable 1"):
        normalise(CONFIG, few, tmp_path / "none", SilentReporter())
