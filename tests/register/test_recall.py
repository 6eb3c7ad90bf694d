"""What a release of the champion begins from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import hazardline.register.champion
import hazardline.register.recall
from hazardline.files import digest_json
from hazardline.progress import SilentReporter
from hazardline.register.approval import approve
from hazardline.register.model import RELEASED_FROM
from hazardline.register.promote import CHAMPION
from hazardline.register.recall import recall_run
from hazardline.register.stage import Registration, run
from hazardline.store import StageRecord, describe_files, output_digest
from tests.register.line_outputs import Line


def in_store(store: Path, inputs: dict[str, Path]) -> dict[str, Path]:
    """The same outputs as a store has them, each with its record."""
    found = {}
    for stage, folder in inputs.items():
        output = store / stage / f"key-of-{folder.parent.name}" / "output"
        shutil.copytree(folder, output)
        files = describe_files(output)
        StageRecord(
            stage=stage,
            key=digest_json(stage),
            uri=output.as_uri(),
            content_digest=output_digest(files),
            cached=False,
            wall_s=1.0,
            peak_rss_mb=1.0,
            made_wall_s=1.0,
            summary={},
            inputs={},
            files=files,
        ).write(output.parent / "record.json")
        found[stage] = output
    return found


def recalled(tmp_path: Path) -> dict[str, Path]:
    paths = {stage: tmp_path / "recalled" / f"{stage}.json" for stage in (*RELEASED_FROM, "register")}
    (tmp_path / "recalled").mkdir(exist_ok=True)
    recall_run("m", {stage: str(path) for stage, path in paths.items()})
    return paths


def test_the_champions_run_comes_back_after_an_approval(home: Path, tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    inputs = in_store(tmp_path / "store", line.candidate("one"))
    out = tmp_path / "out"
    out.mkdir()
    assert run(line.config(approval="manual"), inputs, out, SilentReporter())["promoted"] is False
    approve("m", None, why="good", by="ann")
    paths = recalled(tmp_path)
    for stage in RELEASED_FROM:
        assert StageRecord.read(paths[stage]) == StageRecord.read(inputs[stage].parent / "record.json")
    record = StageRecord.read(paths["register"])
    registration = Registration.read(record.output / "registration.json")
    assert (registration.version, registration.promoted, registration.outcome) == (1, True, "already_champion")
    assert registration.aliases == ("candidate", "champion") and record.stage == "recall"
    assert json.loads(paths["train"].read_text())["files"]


def test_what_is_signed_names_the_version_whose_records_were_recalled(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(tmp_path / "line")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        inputs = in_store(tmp_path / "store" / name, line.candidate(name))
        run(line.config(promote=name == "one"), inputs, tmp_path / name, SilentReporter())

    def download(client: Any, *arguments: Any) -> Path:
        client.set_registered_model_alias("m", CHAMPION, "2")  # another promotion, meanwhile
        return hazardline.register.champion.download(client, *arguments)

    monkeypatch.setattr(hazardline.register.recall, "download", download)
    record = StageRecord.read(recalled(tmp_path)["register"])
    assert Registration.read(record.output / "registration.json").version == 1


def test_without_a_champion_there_is_nothing_to_release(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        recalled(tmp_path)
    assert "recall: m: has no champion" in capsys.readouterr().err


def test_a_champion_of_unknown_records_is_told(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(tmp_path / "line")
    out = tmp_path / "out"
    out.mkdir()
    assert run(line.config(), line.candidate("one"), out, SilentReporter())["promoted"]
    with pytest.raises(SystemExit):
        recalled(tmp_path)
    assert "run the line again to release it" in capsys.readouterr().err
