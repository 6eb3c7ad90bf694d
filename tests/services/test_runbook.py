"""The runbook: each of its blocks of commands is run by a test, or says why not."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hazardline.device.health
from hazardline.cli.main import app
from hazardline.device.state import DeviceFolder
from hazardline.release.keys import KeyFolder
from tests.release.world import World, healthy
from tests.runbook import block, blocks


def test_every_block_is_run_or_says_why_not() -> None:
    marks = [(mark, name) for mark, name, _ in blocks()]
    assert len(marks) >= 10 and all(mark for mark, _ in marks)
    named = [name for mark, name in marks if mark == "test"]
    assert len(named) == len(set(named))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in named if f'"{name}"' not in tests] == []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two releases in the default places of a home, and a device that runs the second."""
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path))
    monkeypatch.delenv("HAZARDLINE_REPOSITORY", raising=False)
    monkeypatch.setattr(
        hazardline.device.health, "check_health", lambda bundle, limits, max_clips=None: healthy(bundle)
    )
    world = HomeWorld.at(tmp_path)
    world.release_version("1")
    device = world.device()
    world.release_version("2")
    assert world.update(device).status == "installed"
    return world


class HomeWorld(World):
    """A world whose keys lie where a line without a recipe looks for them."""

    @property
    def keys(self) -> KeyFolder:
        return KeyFolder(self.root / "demo-signing-keys")


def commands(name: str) -> str:
    """Run a block of `hazardline` commands in this process, where the health check is the tiny runtime's."""
    said = ""
    for line in block(name).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "hazardline"
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        said += result.output
    return said


def test_devices_go_back_to_an_older_release(world: World) -> None:
    said = commands("rollback-release")
    assert "channel stable leads to release 1" in said
    assert "release 1\nslot a" in said, "the device runs it"


def test_a_renewal_keeps_a_device_going(world: World) -> None:
    stamp = (world.repository / "metadata/timestamp.json").read_bytes()
    assert "signed again" in commands("renew")
    assert (world.repository / "metadata/timestamp.json").read_bytes() != stamp
    assert world.update(DeviceFolder(world.root / "device")).status == "unchanged"


def test_signing_keys_are_rotated(world: World) -> None:
    before = {path.name: path.read_bytes() for path in world.keys.folder.glob("*.pem")}
    said = commands("rotate-release")
    after = {path.name: path.read_bytes() for path in world.keys.folder.glob("*.pem")}
    assert {name.removesuffix(".pem") for name in before if before[name] != after[name]} == {
        "timestamp",
        "snapshot",
        "targets",
        "model-crashchat",
        "root-1",
    }
    assert said.count("exchanged") == 5
    assert world.update(DeviceFolder(world.root / "device")).status == "unchanged"
