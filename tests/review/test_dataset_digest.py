"""A reviewed data set is named as ingest would name it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hazardline.cli.main import app
from hazardline.environment import HOME
from hazardline.ingest.report import REPORT_NAME, IngestReport
from hazardline.review.dataset_digest import dataset_digest
from hazardline.tables import RECORDS, write_table
from tests.ingest.datasets import CRASH_TIMES, clip, write_manifest
from tests.video_files import moving_pictures, write_clip


def test_it_is_what_ingest_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    for number in range(2):
        write_clip(tmp_path / f"clips/{number}.mp4", moving_pictures(number, 20))
    lines = [clip("a", "0.mp4", "crash", times=CRASH_TIMES), clip("b", "1.mp4")]
    root, out = write_manifest(tmp_path / "clips", lines), tmp_path / "ingest"
    done = CliRunner().invoke(app, ["ingest", "--source", "native", "--root", str(root), "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = dataset_digest(out)
    assert found == IngestReport.read(out / REPORT_NAME).dataset_digest
    write_table(RECORDS, out, [{"clip_id": "a", "task": "crash_recognition", "question": "?", "answer": "Yes"}])
    assert found != dataset_digest(out)
