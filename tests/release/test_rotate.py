"""Signing keys are exchanged under the eyes of a device."""

from pathlib import Path

import pytest

from hazardline.device.update import UpdateOutcome
from hazardline.errors import UserError
from hazardline.release.keys import KeyFolder
from hazardline.release.rotate import rotate_key, successor_of
from tests.release.world import World

EVERY_KEY = ["root-1", "root-2", "root-3", "targets", "snapshot", "timestamp", "model-crashchat"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.at(tmp_path)
    world.release_version("1")
    return world


def ids(world: World) -> dict[str, str]:
    return {name: world.keys.public_key(name).keyid for name in EVERY_KEY}


def newest_metadata(world: World, role: str) -> Path:
    found = (world.repository / "metadata").glob(f"*.{role}.json")
    return max(found, key=lambda path: int(path.name.partition(".")[0]))


@pytest.mark.parametrize("name", EVERY_KEY)
def test_a_device_follows_an_exchange(world: World, name: str) -> None:
    device = world.device()
    assert world.update(device).status == "installed"
    before = ids(world)
    rotate_key(world.publisher(), name)
    changed = {key for key, value in ids(world).items() if value != before[key]}
    assert changed == {name}
    newest = [newest_metadata(world, role).read_bytes() for role in ("root", "targets")]
    assert before[name].encode() not in b"".join(newest), "the old key is trusted no more"
    assert world.update(device).status == "unchanged"
    assert world.release_version("2").version == 2
    assert world.update(device).status == "installed"
    assert not world.keys.has(successor_of(name))


def test_a_stolen_key_is_worth_nothing_after_the_exchange(world: World) -> None:
    """Whoever has the old timestamp key shows a device what it signed."""
    device = world.device()
    assert world.update(device).status == "installed"
    stamp = world.repository / "metadata/timestamp.json"
    signed_by_the_old_key = stamp.read_bytes()
    rotate_key(world.publisher(), "timestamp")
    stamp.write_bytes(signed_by_the_old_key)
    outcome: UpdateOutcome = world.update(device)
    assert outcome.status not in ("installed", "unchanged")


@pytest.mark.parametrize("name", ["targets", "model-crashchat", "root-2"])
def test_a_rotation_that_was_cut_off_is_run_again(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst moment: the repository has the new key already, the folder of keys has not."""
    device = world.device()

    def cut(self: KeyFolder, successor: str, name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeyFolder, "promote", cut)
        with pytest.raises(KeyboardInterrupt):
            rotate_key(world.publisher(), name)
    rotate_key(world.publisher(), name)
    assert world.release_version("2").version == 2
    assert world.update(device).status == "installed"


def test_root_keys_that_are_elsewhere_are_asked_for(world: World) -> None:
    for name in ("root-1", "root-3"):
        (world.keys.folder / f"{name}.pem").unlink()
    with pytest.raises(UserError, match="2 root keys must sign the next root, and only root-2"):
        rotate_key(world.publisher(), "targets")
    assert world.release_version("2").version == 2


def test_a_name_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(UserError, match="no such signing key; there are root-1"):
        rotate_key(world.publisher(), "timestamps")
    with pytest.raises(UserError, match="knows no model-other"):
        rotate_key(world.publisher(), "model-other")
    assert not world.keys.has(successor_of("model-other"))


def test_nothing_is_exchanged_before_a_release(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no root\.json; nothing was ever published"):
        rotate_key(World.at(tmp_path).publisher(), "root-1")


@pytest.mark.parametrize("name", EVERY_KEY)
def test_a_lost_key_is_exchanged(world: World, name: str) -> None:
    device = world.device()
    lost = ids(world)[name]
    (world.keys.folder / f"{name}.pem").unlink()
    rotate_key(world.publisher(), name)
    assert lost.encode() not in b"".join(newest_metadata(world, role).read_bytes() for role in ("root", "targets"))
    assert world.release_version("2").version == 2
    assert world.update(device).status == "installed"


def test_an_expired_root_is_renewed_by_an_exchange(world: World) -> None:
    late = world.expiry.root_days + 1
    bundle = world.root / "bundle-1"
    with pytest.raises(UserError, match="the root expired on"):
        world.release(bundle, days=late)
    rotate_key(world.publisher(days=late), "root-1")
    assert world.release(bundle, days=late).version == 1
