"""Attacks on a device, told against a real repository in a folder: The Update Framework specification, section 1.5.2.

Each story ends with the same two facts: the update is not taken, and the device runs what it ran before.
"""

import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from tuf.api.metadata import Metadata, Root

from hazardline.device.bundle import verify_bundle
from hazardline.device.slots import start
from hazardline.device.state import DeviceFolder
from hazardline.device.update import UpdateOutcome
from hazardline.files import canonical_json, sha256_bytes
from hazardline.release.destination import FolderDestination
from hazardline.release.document import channel_target, release_target
from hazardline.release.keys import KeyFolder
from hazardline.release.publish import renew, rotate_root
from hazardline.release.repository import Repository, load_repository, seal
from tests.release.world import CHANNEL, MODEL, World, flip_bit, write_bundle


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.at(tmp_path)
    world.release_version("1")
    return world


@pytest.fixture
def device(world: World) -> DeviceFolder:
    device = world.device()
    assert world.update(device).status == "installed"
    return device


class Aftermath(NamedTuple):
    """What became of an attack: whether the update was turned down, why, and what the device runs now."""

    is_turned_down: bool
    kind: str | None
    version: int | None
    running: Path


def after(device: DeviceFolder, outcome: UpdateOutcome) -> Aftermath:
    """Start the device anew, and verify every file of what it then runs (raises where one is not whole)."""
    running = start(device)
    verify_bundle(running)
    return Aftermath(outcome.status in ("failed", "refused"), outcome.kind, outcome.version, running)


def keeps_release_1(device: DeviceFolder, kind: str) -> Aftermath:
    return Aftermath(True, kind, 1, device.slot("a"))


def saved(world: World, name: str) -> Path:
    copy = world.root / name
    shutil.copytree(world.repository, copy)
    return copy


def committed(world: World) -> Repository:
    metadata = world.repository / "metadata"
    root = Metadata[Root].from_bytes(world.keys.root_path.read_bytes())
    return load_repository(
        root, (metadata / "timestamp.json").read_bytes(), lambda name: (metadata / name).read_bytes()
    )


def commit(world: World, repository: Repository, keys: KeyFolder | None = None, days: float = 0) -> None:
    now, signing = world.now + timedelta(days=days), keys or world.keys
    for file in seal(repository, signing.signer, signing.has, {}, world.expiry, now):
        (world.repository / "metadata" / file.name).write_bytes(file.data)


def sign_document(world: World, repository: Repository, path: str, value: object) -> str:
    """What someone with the model's key could publish."""
    data = canonical_json(value)
    digest = sha256_bytes(data)
    repository.add_target(MODEL, path, len(data), digest)
    target = repository.target(MODEL, path)
    assert target is not None
    (world.repository / "targets" / target.get_prefixed_paths()[0]).write_bytes(data)
    return digest


def current_release(world: World) -> dict[str, object]:
    folder = world.repository / "targets" / "releases" / MODEL
    value: dict[str, object] = json.loads(next(folder.glob("*.1.json")).read_bytes())
    return value


def test_a_flipped_bit_in_any_released_file_is_refused(world: World) -> None:
    # A device brings the first root with it; every other file of the repository is read and checked.
    ignored = (".publishing.lock", "1.root.json")
    released = [p for p in sorted(world.repository.rglob("*")) if p.is_file() and p.name not in ignored]
    assert len(released) == len(("timestamp", "snapshot", "targets", "model", "release", "channel")) + 8
    for number, path in enumerate(released):
        before = flip_bit(path, at=len(path.read_bytes()) // 2)
        device = world.device(f"device-{number}")
        outcome = world.update(device)
        path.write_bytes(before)
        assert (outcome.status, outcome.version, device.read().slots) == ("failed", None, {}), path
    assert world.update(world.device("last")).status == "installed"


def test_rollback_to_an_older_timestamp(world: World, device: DeviceFolder) -> None:
    old = saved(world, "old")
    world.release_version("2")
    seen = world.device("seen")
    assert world.update(seen).version == 2
    outcome = world.update(seen, repository=str(old))
    assert (outcome.status, outcome.kind, outcome.version) == ("failed", "BadVersionNumberError", 2)


def test_freeze_on_an_old_release(world: World, device: DeviceFolder) -> None:
    """Someone holds back all new metadata: the timestamp expires, and the device says so."""
    world.now -= timedelta(days=world.expiry.timestamp_days + 1)
    renew(world.publisher())
    assert after(device, world.update(device)) == keeps_release_1(device, "ExpiredMetadataError")
    renew(world.publisher(days=world.expiry.timestamp_days + 1))
    assert world.update(device).status == "unchanged"


def test_a_timestamp_signed_with_another_key(world: World, device: DeviceFolder) -> None:
    evil = KeyFolder(world.root / "evil")
    evil.prepare()
    evil.generate(["snapshot", "timestamp"])
    commit(world, committed(world), evil)
    assert after(device, world.update(device)) == keeps_release_1(device, "UnsignedMetadataError")


def test_a_whole_repository_of_someone_else(world: World, device: DeviceFolder) -> None:
    other = World.at(world.root / "other")
    other.root.mkdir()
    other.release_version("9")
    for _ in range(2):
        renew(other.publisher())
    assert after(device, world.update(device, repository=str(other.repository))) == keeps_release_1(
        device, "UnsignedMetadataError"
    )


def test_a_model_key_cannot_sign_for_another_model(world: World, device: DeviceFolder) -> None:
    repository = committed(world)
    sign_document(world, repository, release_target(MODEL, 1), current_release(world))
    path = channel_target("other", CHANNEL)
    data = canonical_json({})
    repository.add_target(MODEL, path, len(data), sha256_bytes(data))
    commit(world, repository)
    assert after(device, world.update(device, model="other")) == keeps_release_1(device, "NoSuchTarget")


def test_too_few_root_signatures(world: World, device: DeviceFolder) -> None:
    root = Metadata[Root].from_bytes(world.keys.root_path.read_bytes())
    root.signed.version = 2
    root.sign(world.keys.signer("root-1"))
    root.to_file(str(world.repository / "metadata/2.root.json"))
    assert after(device, world.update(device)) == keeps_release_1(device, "UnsignedMetadataError")


def test_root_rotation_is_followed_and_an_old_root_key_is_worthless_afterwards(
    world: World, device: DeviceFolder
) -> None:
    keys = world.keys
    keys.generate(["root-4", "timestamp-2"])
    root = rotate_root(
        world.publisher(),
        ["root-1", "root-2", "root-4"],
        add={"root": [keys.public_key("root-4")]},
        revoke={"root": [keys.public_key("root-3").keyid]},
    )
    assert root.signed.version == 2
    world.release_version("2")
    assert world.update(device).version == 2
    old = Metadata[Root].from_bytes((world.repository / "metadata/2.root.json").read_bytes())
    old.signed.version = 3
    for name in ("root-3", "root-1"):
        old.sign(keys.signer(name), append=name == "root-1")
    old.to_file(str(world.repository / "metadata/3.root.json"))
    outcome = world.update(device)
    assert (outcome.kind, outcome.version) == ("UnsignedMetadataError", 2)


def test_a_new_device_with_the_first_root_follows_the_rotation(world: World) -> None:
    anchor = world.keys.root_path.read_bytes()
    rotate_root(world.publisher(), ["root-1", "root-2"], add={}, revoke={})
    world.release_version("2")
    from hazardline.device.state import provision

    assert world.update(provision(world.root / "late", anchor)).version == 2
    device = provision(world.root / "later", anchor)
    flip_bit(world.repository / "metadata/2.root.json", at=200)
    assert world.update(device).status == "failed"


def test_recovery_from_fast_forward_by_new_keys(world: World, device: DeviceFolder) -> None:
    """A stolen timestamp key signs a version so high that no honest one can follow; a new key in the root mends it."""
    repository = committed(world)
    repository.timestamp.signed.version = 1 << 40
    commit(world, repository)
    assert world.update(device).status == "unchanged"
    keys = world.keys
    stolen = keys.public_key("timestamp").keyid
    keys.generate(["timestamp-2"])
    rotate_root(
        world.publisher(),
        ["root-1", "root-2"],
        add={"timestamp": [keys.public_key("timestamp-2")]},
        revoke={"timestamp": [stolen]},
    )
    (keys.folder / "timestamp-2.pem").replace(keys.folder / "timestamp.pem")
    repository.root = Metadata[Root].from_bytes(keys.root_path.read_bytes())
    repository.timestamp.signed.version = 5
    commit(world, repository)
    outcome = world.update(device)
    assert (outcome.status, outcome.version) == ("unchanged", 1)
    assert json.loads((device.metadata / "timestamp.json").read_bytes())["signed"]["version"] == 6


def test_mix_and_match_of_two_releases(world: World, device: DeviceFolder) -> None:
    """Files of two releases, each genuine: the model's metadata of release 1 under the snapshot of release 2."""
    world.release_version("2")
    metadata = world.repository / "metadata"
    old, new = metadata / f"1.model-{MODEL}.json", metadata / f"2.model-{MODEL}.json"
    shutil.copy(old, new)
    assert after(device, world.update(device)) == keeps_release_1(device, "LengthOrHashMismatchError")


def test_mix_and_match_of_files(world: World, device: DeviceFolder) -> None:
    """A genuine file in the place of another of the same size."""
    world.release_version("2")
    release = json.loads(next((world.repository / "targets/releases" / MODEL).glob("*.2.json")).read_bytes())
    digests = {file["path"]: file["sha256"] for file in release["files"]}
    one, other = digests["linguistic.onnx_adapter"], digests["perception.onnx_adapter"]
    files = world.repository / "targets/files" / MODEL
    shutil.copy(files / f"{one}.{one}", files / f"{other}.{other}")
    assert after(device, world.update(device)) == keeps_release_1(device, "LengthOrHashMismatchError")


def test_a_channel_that_points_to_another_release_than_it_says(world: World, device: DeviceFolder) -> None:
    world.release_version("2")
    repository = committed(world)
    pointer = {"schema_version": "channel@1", "model": MODEL, "channel": CHANNEL, "version": 2}
    sign_document(world, repository, channel_target(MODEL, CHANNEL), {**pointer, "release_sha256": "0" * 64})
    commit(world, repository)
    assert after(device, world.update(device)) == keeps_release_1(device, "MixedUp")


def test_endless_data_in_a_file_and_in_metadata(world: World, device: DeviceFolder) -> None:
    world.release_version("2")
    release = json.loads(next((world.repository / "targets/releases" / MODEL).glob("*.2.json")).read_bytes())
    digest = next(file["sha256"] for file in release["files"] if file["path"] == "linguistic.onnx_adapter")
    path = world.repository / f"targets/files/{MODEL}/{digest}.{digest}"
    genuine = path.read_bytes()
    path.write_bytes(genuine + bytes(1 << 20))
    assert after(device, world.update(device)) == keeps_release_1(device, "DownloadLengthMismatchError")
    assert list(device.downloads.iterdir()) == []
    path.write_bytes(genuine)
    timestamp = world.repository / "metadata/timestamp.json"
    genuine = timestamp.read_bytes()
    timestamp.write_bytes(genuine + b" " * (1 << 20))
    assert after(device, world.update(device)) == keeps_release_1(device, "DownloadLengthMismatchError")
    timestamp.write_bytes(genuine)
    assert world.update(device).version == 2


def test_a_truncated_file_and_a_missing_one(world: World, device: DeviceFolder) -> None:
    world.release_version("2")
    release = json.loads(next((world.repository / "targets/releases" / MODEL).glob("*.2.json")).read_bytes())
    digest = next(file["sha256"] for file in release["files"] if file["path"] == "linguistic.onnx_adapter")
    path = world.repository / f"targets/files/{MODEL}/{digest}.{digest}"
    genuine = path.read_bytes()
    path.write_bytes(genuine[:1000])
    assert after(device, world.update(device)) == keeps_release_1(device, "DownloadError")
    assert (device.downloads / f"{digest}.part").stat().st_size == 1000
    path.unlink()
    assert after(device, world.update(device)) == keeps_release_1(device, "DownloadHTTPError")
    path.write_bytes(genuine)
    assert world.update(device).version == 2


@pytest.mark.parametrize(
    "name", ["../escaped", "/escaped", "a/../../escaped", "..", "a\\..\\b", "golden/./x", ".hidden", "a//b", ""]
)
def test_a_signed_release_with_a_path_outside_of_the_bundle(world: World, device: DeviceFolder, name: str) -> None:
    release = current_release(world)
    files = [dict(file) for file in release["files"]]  # type: ignore[attr-defined]
    files[0]["path"] = name
    repository = committed(world)
    digest = sign_document(world, repository, release_target(MODEL, 2), {**release, "version": 2, "files": files})
    pointer = {"schema_version": "channel@1", "model": MODEL, "channel": CHANNEL, "version": 2}
    sign_document(world, repository, channel_target(MODEL, CHANNEL), {**pointer, "release_sha256": digest})
    commit(world, repository)
    before = sorted(p for p in world.root.rglob("*") if "metadata" not in p.parts)
    assert after(device, world.update(device)) == keeps_release_1(device, "MalformedDocument")
    assert sorted(p for p in world.root.rglob("*") if "metadata" not in p.parts) == before


def test_a_link_in_the_repository_leads_nowhere(world: World, device: DeviceFolder) -> None:
    world.release_version("2")
    secret = world.root / "secret.json"
    snapshot = world.repository / "metadata/2.snapshot.json"
    snapshot.rename(secret)
    snapshot.symlink_to(secret)
    assert after(device, world.update(device)) == keeps_release_1(device, "DownloadHTTPError")


def test_a_link_in_the_idle_slot_is_not_written_through(world: World, device: DeviceFolder) -> None:
    world.release_version("2")
    precious = world.root / "precious"
    precious.mkdir()
    (precious / "decoder.onnx").write_text("mine")
    idle = device.slot("b")
    idle.mkdir()
    (idle / "golden").symlink_to(precious)
    (idle / "decoder.onnx").symlink_to(precious / "decoder.onnx")
    assert world.update(device).version == 2
    assert (precious / "decoder.onnx").read_text() == "mine" and len(list(precious.iterdir())) == 1


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Writing beyond this fails, as on a disk without room (`EFBIG` in the place of `ENOSPC`)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_disk_fills_up_in_the_middle_of_a_download(world: World, device: DeviceFolder) -> None:
    world.release(write_bundle(world.root / "big", "2", decoder=os.urandom(300_000)))
    with largest_file(100_000):
        outcome = world.update(device)
    assert after(device, outcome) == keeps_release_1(device, "DiskFull")
    assert not device.slot("b").exists() and list(device.downloads.iterdir()) == []
    assert world.update(device).version == 2


def test_a_release_that_cannot_fit_is_refused_before_it_is_downloaded(
    world: World, device: DeviceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.release_version("2")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 1 << 40, 1 << 10))
    outcome = world.update(device)
    assert after(device, outcome) == keeps_release_1(device, "DiskFull")
    assert outcome.downloaded_bytes == 0


def test_a_genuine_release_that_is_no_bundle(world: World, device: DeviceFolder) -> None:
    """The publisher checks, but a device does not rely on it."""
    world.release_version("2")
    release = json.loads(next((world.repository / "targets/releases" / MODEL).glob("*.2.json")).read_bytes())
    release["files"] = [file for file in release["files"] if file["path"] != "vision.onnx"]
    repository = committed(world)
    digest = sign_document(world, repository, release_target(MODEL, 3), {**release, "version": 3})
    pointer = {"schema_version": "channel@1", "model": MODEL, "channel": CHANNEL, "version": 3}
    sign_document(world, repository, channel_target(MODEL, CHANNEL), {**pointer, "release_sha256": digest})
    commit(world, repository)
    assert after(device, world.update(device)) == keeps_release_1(device, "NotABundle")


def test_a_publisher_does_not_sign_what_it_finds_changed(world: World) -> None:
    """Whoever can write to the destination must not get their files signed by the next release."""
    from hazardline.errors import UserError

    evil = KeyFolder(world.root / "evil")
    evil.prepare()
    evil.generate(["snapshot", "timestamp"])
    commit(world, committed(world), evil)
    with pytest.raises(UserError, match="timestamp metadata is not what its keys signed"):
        world.release(write_bundle(world.root / "next", "2"), FolderDestination(world.repository))
