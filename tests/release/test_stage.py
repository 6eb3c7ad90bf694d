"""The release stage: what it releases, what it refuses, and what it hands on."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.files import sha256_bytes, write_json
from hazardline.progress import SilentReporter
from hazardline.release.config import ReleaseConfig
from hazardline.release.document import ReleaseReport
from hazardline.release.stage import run
from tests.release.world import flip_bit, write_bundle

PROMOTED = {"promoted": True, "name": "crashchat-pocket", "version": 3, "aliases": ["champion"]}


@pytest.fixture
def inputs(tmp_path: Path) -> Mapping[str, Path]:
    export, register = tmp_path / "export", tmp_path / "register"
    write_bundle(export / "bundle")
    write_json(export / "parity.json", {"version": "parity@1"})
    write_json(register / "registration.json", PROMOTED)
    return {"export": export, "register": register}


@pytest.fixture
def config(tmp_path: Path) -> ReleaseConfig:
    return ReleaseConfig(destination=str(tmp_path / "repository"), keys=str(tmp_path / "keys"))


def released(config: ReleaseConfig, inputs: Mapping[str, Path], out: Path) -> ReleaseReport:
    out.mkdir()
    summary = run(config, inputs, out, SilentReporter())
    report = ReleaseReport.read(out / "release.json")
    assert summary == report.data() == json.loads(json.dumps(summary))
    return report


def test_a_promoted_candidate_is_released(config: ReleaseConfig, inputs: Mapping[str, Path], tmp_path: Path) -> None:
    report = released(config, inputs, tmp_path / "out")
    assert (report.released, report.version, report.num_files, report.num_files_uploaded) == (True, 1, 8, 8)
    assert report.repository == str(tmp_path / "repository")
    anchor = (tmp_path / "out/root.json").read_bytes()
    assert report.root_sha256 == sha256_bytes(anchor)
    assert anchor == (tmp_path / "repository/metadata/1.root.json").read_bytes()
    again = released(config, inputs, tmp_path / "again")
    assert (again.released, again.version, again.num_files_uploaded) == (True, 1, 0)
    assert "already" in again.reason
    document = next((tmp_path / "repository/targets/releases/crashchat").iterdir()).read_text()
    assert '"facts":{"name":"crashchat-pocket","version":"3"}' in document
    for path in (tmp_path / "out").iterdir():
        assert b"PRIVATE" not in path.read_bytes()


@pytest.mark.parametrize(
    "registration",
    [{**PROMOTED, "promoted": False, "reason": "the gate is closed"}, {"version": 3}, {"promoted": "yes"}],
)
def test_what_was_not_promoted_is_not_released(
    config: ReleaseConfig, inputs: Mapping[str, Path], tmp_path: Path, registration: dict[str, object]
) -> None:
    write_json(inputs["register"] / "registration.json", registration)
    report = released(config, inputs, tmp_path / "out")
    assert (report.released, report.version, report.repository) == (False, None, None)
    assert str(registration.get("reason", "does not say")) in report.reason
    assert not (tmp_path / "repository").exists() and not (tmp_path / "keys").exists()


def test_a_closed_gate_leaves_the_older_release_in_place(
    config: ReleaseConfig, inputs: Mapping[str, Path], tmp_path: Path
) -> None:
    released(config, inputs, tmp_path / "first")
    write_json(inputs["register"] / "registration.json", {**PROMOTED, "promoted": False})
    report = released(config, inputs, tmp_path / "second")
    assert (report.released, report.repository) == (False, str(tmp_path / "repository"))
    assert (tmp_path / "second/root.json").exists()


def test_a_bundle_without_its_proof_is_not_released(
    config: ReleaseConfig, inputs: Mapping[str, Path], tmp_path: Path
) -> None:
    (inputs["export"] / "parity.json").unlink()
    report = released(config, inputs, tmp_path / "out")
    assert not report.released and "parity" in report.reason


def test_a_tampered_bundle_stops_the_stage(config: ReleaseConfig, inputs: Mapping[str, Path], tmp_path: Path) -> None:
    flip_bit(inputs["export"] / "bundle/decoder.onnx")
    with pytest.raises(UserError, match=r"decoder\.onnx: its content is not what was listed"):
        released(config, inputs, tmp_path / "out")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_registration_that_cannot_be_read(
    config: ReleaseConfig, inputs: Mapping[str, Path], tmp_path: Path, text: str
) -> None:
    (inputs["register"] / "registration.json").write_text(text)
    with pytest.raises(UserError, match=r"registration\.json: .*run the stage that makes it again"):
        released(config, inputs, tmp_path / "out")


@pytest.mark.parametrize("keys", ["repository/keys", "out/keys", "repository", "."])
def test_keys_may_not_lie_in_what_is_published(inputs: Mapping[str, Path], tmp_path: Path, keys: str) -> None:
    config = ReleaseConfig(destination=str(tmp_path / "repository"), keys=str(tmp_path / keys))
    with pytest.raises(UserError, match=r"release\.keys: .*must stay outside"):
        released(config, inputs, tmp_path / "out")


@pytest.mark.parametrize("name", ["Crash Chat", "../x", "", "a/b", "UPPER"])
def test_names_that_would_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="release: model: String should"):
        ReleaseConfig.parse({"model": name}, "release")


def test_defaults_lie_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path))
    config = ReleaseConfig()
    assert config.destination_address() == str(tmp_path / "repository")
    assert config.keys_folder() == tmp_path / "demo-signing-keys"
