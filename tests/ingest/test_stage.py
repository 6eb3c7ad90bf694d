import json
import shutil
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest import stage
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.features import FEATURES
from hazardline.ingest.report import IngestReport
from hazardline.progress import EventReporter, SilentReporter
from hazardline.tables import QUARANTINE, SCENES, read_table
from tests.ingest.datasets import clip, write_hostile_folder, write_manifest
from tests.video_files import moving_pictures, write_clip


def _out(tmp_path: Path, name: str = "out") -> Path:
    out = tmp_path / name
    out.mkdir()
    return out


def test_the_acceptance_folder_with_a_generous_limit(tmp_path: Path) -> None:
    root, out = write_hostile_folder(tmp_path / "Data Ünï"), _out(tmp_path)
    reporter = EventReporter(tmp_path / "events.jsonl", "ingest")
    summary = stage.run(IngestConfig(root=str(root), max_quarantined_share=0.9), {}, out, reporter)
    assert sorted(p.name for p in out.iterdir()) == [
        "features.parquet",
        "fingerprints.parquet",
        "ingest.json",
        "quarantine.parquet",
        "records.parquet",
        "scenes.parquet",
    ]
    scenes, quarantine = read_table(SCENES, out), read_table(QUARANTINE, out)
    assert [s["clip_id"] for s in scenes] == [f["clip_id"] for f in read_table(FEATURES, out)] == ["good", "unicode"]
    assert len(quarantine) == 5 and all(row["detail"] for row in quarantine)
    report = IngestReport.read(out / "ingest.json")
    assert report.data() == summary
    assert (report.num_clips, report.num_quarantined) == (2, 5)
    assert report.by_reason == {"unreadable": 2, "duplicate_bytes": 1, "times_out_of_order": 1, "truncated": 1}
    assert report.by_label == {"crash": 1, "near_miss": 1} and report.total_s == 4.0
    assert report.decoder.backend in ("pyav", "torchcodec") and report.decoder.reason
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert any({"phase": "decode clips", "done": 7, "total": 7}.items() <= event.items() for event in events)


def test_too_much_in_quarantine_fails_and_says_what(tmp_path: Path) -> None:
    root, out = write_hostile_folder(tmp_path / "data"), _out(tmp_path)
    with pytest.raises(UserError) as caught:
        stage.run(IngestConfig(root=str(root)), {}, out, SilentReporter())
    message = str(caught.value)
    assert "5 of 7 clips cannot be used (71%)" in message and "the limit is 20%" in message
    assert "reasons: unreadable 2, duplicate_bytes 1" in message
    assert "order (order.mp4): times_out_of_order: manifest.jsonl line 7" in message
    assert len(read_table(QUARANTINE, out)) == 5


def test_the_message_shows_twenty_rows(tmp_path: Path) -> None:
    write_manifest(tmp_path / "data", ["broken"] * 30)
    with pytest.raises(UserError) as caught:
        stage.run(IngestConfig(root=str(tmp_path / "data")), {}, _out(tmp_path), SilentReporter())
    lines = str(caught.value).splitlines()
    assert len(lines) == 22 and lines[-1] == "  ... and 10 more"


def test_no_usable_clip_fails_whatever_the_limit(tmp_path: Path) -> None:
    write_manifest(tmp_path / "data", ["broken"])
    config = IngestConfig(root=str(tmp_path / "data"), max_quarantined_share=1.0)
    with pytest.raises(UserError, match="1 of 1 clips cannot be used"):
        stage.run(config, {}, _out(tmp_path), SilentReporter())


def test_the_same_data_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    root = tmp_path / "one"
    for k in range(4):
        write_clip(root / f"{k}.mp4", moving_pictures(k, 10))
    write_manifest(root, [clip(f"c{3 - k}", f"{k}.mp4") for k in range(4)])
    outs = [_out(tmp_path, name) for name in ("a", "b", "c")]
    first = stage.run(IngestConfig(num_workers=1), {"simulate": root}, outs[0], SilentReporter())
    stage.run(IngestConfig(num_workers=2), {"simulate": root}, outs[1], SilentReporter())
    for name in ("scenes.parquet", "features.parquet", "fingerprints.parquet", "quarantine.parquet", "ingest.json"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    shutil.move(root, tmp_path / "two")
    moved = stage.run(IngestConfig(root=str(tmp_path / "two")), {}, outs[2], SilentReporter())
    assert moved["dataset_digest"] == first["dataset_digest"] and moved["sources"] != first["sources"]


def test_a_root_must_be_named_and_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="root: missing"):
        stage.open_places(IngestConfig(), {}, tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        stage.open_places(IngestConfig(root=str(tmp_path / "none")), {}, tmp_path)


def test_a_nexar_folder_without_clips_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("id,time_of_event,time_of_alert,target\n")
    with pytest.raises(UserError, match="no clip"):
        stage.run(IngestConfig(source="nexar", root=str(tmp_path)), {}, _out(tmp_path), SilentReporter())


@pytest.mark.parametrize(
    ("value", "field"),
    [({"source": "kitti"}, "source"), ({"num_workers": 0}, "num_workers"), ({"max_quarantined_share": 2}, "max_")],
)
def test_configuration_errors_name_the_field(value: dict[str, object], field: str) -> None:
    with pytest.raises(UserError, match=f"recipe: {field}"):
        IngestConfig.parse(value, "recipe")
