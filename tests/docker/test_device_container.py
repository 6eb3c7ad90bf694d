"""A bundle of the line on the device image: without a network, on a read-only root, as nobody."""

import json
import shutil
from pathlib import Path

import pytest

from tests.docker.checkout import Line
from tests.docker.daemon import Daemon

LOCKED_DOWN = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
               "--security-opt", "no-new-privileges"]  # fmt: skip


def device(docker: Daemon, bundle: Path, *arguments: str, status: int = 0) -> str:
    volume = f"{bundle}:/bundle:ro"
    return docker.ask("run", *LOCKED_DOWN, "--volume", volume, "hazardline-device", *arguments, status=status)


@pytest.fixture
def broken(line: Line, tmp_path: Path) -> Path:
    """A copy of the bundle, to be spoilt."""
    return Path(shutil.copytree(line.bundle, tmp_path / "bundle"))


def test_a_bundle_answers_its_golden_clips_as_its_exporter_did(docker: Daemon, line: Line) -> None:
    golden = json.loads((line.bundle / "golden" / "golden.json").read_text())
    said = device(docker, line.bundle, "check", "--bundle", "/bundle")
    assert f"/bundle: may run here; {len(golden['clips'])} golden clips" in said


def test_a_clip_is_answered(docker: Daemon, line: Line) -> None:
    said = device(docker, line.bundle, "infer", "--bundle", "/bundle", "--clip", "/bundle/golden/0.mp4", "--json")
    golden = json.loads((line.bundle / "golden" / "golden.json").read_text())
    expected = golden["clips"][0]["answers"]
    answers = json.loads(said)["answers"]
    assert {task: answers.get(task) for task in expected} == expected


def test_a_bundle_that_was_changed_is_refused(docker: Daemon, broken: Path) -> None:
    with (broken / "embeddings.npy").open("r+b") as stream:
        stream.seek(200)
        stream.write(b"\xff\xff")
    assert "embeddings.npy" in device(docker, broken, "check", "--bundle", "/bundle", status=2)


def test_a_container_without_memory_fails_and_says_so(docker: Daemon, line: Line) -> None:
    """The kernel ends the process that answers; the command is what reports it."""
    volume = f"{line.bundle}:/bundle:ro"
    said = docker.ask("run", *LOCKED_DOWN, "--memory", "80m", "--memory-swap", "80m", "--volume", volume,
                      "hazardline-device", "check", "--bundle", "/bundle", status=2)  # fmt: skip
    assert "may not run here: the process ended with status -9" in said
