"""Updates of a device from a real local repository: install, update, refuse, fall back, go back, repair."""

from pathlib import Path

import pytest

from hazardline.device.bundle import BundleError, verify_bundle
from hazardline.device.health import HealthResult
from hazardline.device.slots import start
from hazardline.device.state import DeviceFolder, Pending, UpdateRunningError, provision
from hazardline.device.update import update
from hazardline.errors import UserError
from hazardline.release.publish import roll_back
from tests.release.world import CHANNEL, MODEL, World, flip_bit, healthy, write_bundle


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.at(tmp_path)
    world.release_version("1")
    return world


def test_a_new_device_installs_confirms_and_starts(world: World) -> None:
    device = world.device()
    with pytest.raises(UserError, match="no release is installed yet"):
        start(device)
    outcome = world.update(device)
    assert (outcome.status, outcome.slot, outcome.version, outcome.num_downloaded) == ("installed", "a", 1, 8)
    state = device.read()
    assert state.pending is None and state.highest_version == 1 and state.attempts == {}
    assert start(device) == device.slot("a")
    assert verify_bundle(start(device)).manifest_sha256 == verify_bundle(world.root / "bundle-1").manifest_sha256
    assert list(device.downloads.iterdir()) == []


def test_the_second_update_changes_nothing(world: World) -> None:
    device = world.device()
    world.update(device)
    before = device.state_path.read_bytes()
    outcome = world.update(device)
    assert (outcome.status, outcome.version, outcome.downloaded_bytes) == ("unchanged", 1, 0)
    assert device.state_path.read_bytes() == before


def test_new_adapters_alone_move_only_adapters(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")
    outcome = world.update(device)
    assert (outcome.status, outcome.slot, outcome.version) == ("installed", "b", 2)
    moved = {"linguistic.onnx_adapter", "perception.onnx_adapter", "golden/golden.json", "manifest.json"}
    assert outcome.num_downloaded == len(moved)
    assert outcome.downloaded_bytes == sum((device.slot("b") / name).stat().st_size for name in moved)
    shared = device.slot("b") / "decoder.onnx"
    assert shared.samefile(device.slot("a") / "decoder.onnx")
    verify_bundle(device.slot("a"))


def test_an_unhealthy_release_is_refused_once_and_for_all(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release(write_bundle(world.root / "wrong", "2", is_right=False))
    outcome = world.update(device)
    assert (outcome.status, outcome.kind, outcome.version, outcome.slot) == ("refused", "Unhealthy", 1, "a")
    assert "the exporter got another one" in outcome.reason

    def never(bundle: Path) -> HealthResult:
        raise AssertionError("a refused release was tried again")

    again = update(device, world.request(), never)
    assert (again.status, again.kind, again.version, again.downloaded_bytes) == ("refused", "RefusedBefore", 1, 0)
    world.release_version("3")
    assert world.update(device).version == 3


@pytest.mark.parametrize(
    ("decoder", "timeout_s", "word"),
    [(b"crashes", 60.0, "status 70: this bundle crashes"), (b"hangs", 1.0, "no answer within 1 s")],
)
def test_a_bundle_that_crashes_or_hangs_is_refused(world: World, decoder: bytes, timeout_s: float, word: str) -> None:
    from hazardline.device.health import check_health
    from tests.release.world import LIMITS, TINY_PROBE

    device = world.device()
    world.update(device)
    world.release(write_bundle(world.root / "bad", "2", decoder=decoder))
    limits = LIMITS.model_copy(update={"timeout_s": timeout_s})
    outcome = update(device, world.request(), lambda bundle: check_health(bundle, limits, TINY_PROBE))
    assert outcome.kind == "Unhealthy" and word in outcome.reason
    assert start(device) == device.slot("a")


def test_a_release_that_fails_after_the_switch_falls_back(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")
    seen = []

    def confirmation(bundle: Path) -> HealthResult:
        seen.append((bundle, device.read().current, device.read().pending))
        return HealthResult(False, ("it does not start",))

    outcome = update(device, world.request(), healthy, confirmation)
    assert seen == [(device.slot("b"), "b", Pending(previous="a"))]
    assert (outcome.status, outcome.version, outcome.slot) == ("fell_back", 1, "a")
    state = device.read()
    assert state.current == "a" and state.pending is None and state.last_fall_back is not None
    assert "it does not start" in state.last_fall_back
    assert world.update(device).kind == "RefusedBefore"


def test_the_first_release_that_fails_after_the_switch_leaves_no_slot_and_no_loop(world: World) -> None:
    device = world.device()
    outcome = update(device, world.request(), healthy, lambda bundle: HealthResult(False, ("no",)))
    assert (outcome.status, outcome.slot, outcome.version) == ("fell_back", None, None)
    assert world.update(device).kind == "RefusedBefore"
    world.release_version("2")
    assert world.update(device).status == "installed"


def test_a_trial_that_was_cut_off_ends_at_the_next_start(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")

    class PowerCut(BaseException):
        pass

    def cut(bundle: Path) -> HealthResult:
        raise PowerCut

    with pytest.raises(PowerCut):
        update(device, world.request(), healthy, cut)
    assert device.read().current == "b" and device.read().pending is not None
    assert start(device) == device.slot("a")
    assert device.read().pending is None
    outcome = world.update(device)
    assert (outcome.status, outcome.version, outcome.downloaded_bytes) == ("installed", 2, 0)


def test_a_release_that_takes_the_device_down_is_not_tried_for_ever(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")

    class PowerCut(BaseException):
        pass

    def cut(bundle: Path) -> HealthResult:
        raise PowerCut

    for _ in range(2):
        with pytest.raises(PowerCut):
            update(device, world.request(max_attempts=2), cut)
    outcome = world.update(device, max_attempts=2)
    assert (outcome.status, outcome.kind, outcome.version) == ("refused", "TooManyAttempts", 1)


def test_an_older_release_needs_a_signed_rollback(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")
    world.update(device)
    publisher = world.publisher()
    pointer = roll_back(publisher, MODEL, CHANNEL, 1, "version 2 misses cyclists")
    assert pointer.is_rollback
    outcome = world.update(device)
    assert (outcome.status, outcome.version, outcome.downloaded_bytes) == ("installed", 1, 0)
    assert device.read().highest_version == 2
    world.release_version("3")
    assert world.update(device).version == 3
    with pytest.raises(UserError, match="has no release 9"):
        roll_back(publisher, MODEL, CHANNEL, 9, "")


def test_an_older_release_without_the_word_rollback_is_refused(world: World) -> None:
    device = world.device()
    world.update(device)
    state = device.read()
    device.write(state.having(highest_version=5, current=None, slots={}))
    outcome = world.update(device)
    assert (outcome.status, outcome.kind) == ("refused", "OlderRelease")


def test_a_damaged_slot_gives_way_and_is_mended(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")
    world.update(device)
    flip_bit(device.slot("b") / "linguistic.onnx_adapter")
    assert start(device) == device.slot("a")
    outcome = world.update(device)
    assert (outcome.status, outcome.version, outcome.slot, outcome.num_downloaded) == ("installed", 2, "b", 1)


def test_the_only_slot_is_mended_after_damage(world: World) -> None:
    device = world.device()
    world.update(device)
    flip_bit(device.slot("a") / "decoder.onnx")
    with pytest.raises(BundleError, match=r"decoder\.onnx"):
        start(device)
    outcome = world.update(device)
    assert (outcome.status, outcome.version, outcome.slot, outcome.num_downloaded) == ("installed", 1, "b", 1)
    assert start(device) == device.slot("b")


def test_a_file_that_moves_within_the_bundle_is_not_downloaded_again(world: World) -> None:
    device = world.device()
    world.update(device)
    folder = write_bundle(world.root / "moved")
    (folder / "models").mkdir()
    (folder / "vision.onnx").rename(folder / "models" / "vision.onnx")
    from tests.release.world import write_manifest

    write_manifest(folder)
    world.release(folder)
    outcome = world.update(device)
    assert (outcome.status, outcome.num_downloaded) == ("installed", 1)


def test_two_updates_at_once_and_a_start_in_between(world: World) -> None:
    device = world.device()
    world.update(device)
    world.release_version("2")

    def meanwhile(bundle: Path) -> HealthResult:
        assert start(device) == device.slot("a")
        with pytest.raises(UpdateRunningError, match="another update"):
            world.update(device)
        return healthy(bundle)

    assert update(device, world.request(), meanwhile, healthy).version == 2


def test_a_folder_that_is_no_device_is_named(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "something").write_text("mine")
    with pytest.raises(UserError, match="not a provisioned device"):
        provision(other, b"root")
    assert (other / "something").exists()
    with pytest.raises(UserError, match="not a provisioned device"):
        world.update(DeviceFolder(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="not a provisioned device"):
        start(DeviceFolder(tmp_path / "nowhere"))
    device = world.device()
    device.anchor.write_bytes(b"another root")
    with pytest.raises(UserError, match="not what this device was provisioned with"):
        world.device()
