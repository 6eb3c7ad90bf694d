"""Keys in a Secret that a pod has mounted: a file system of its own, read only, with the mount's modes."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hazardline.cli.release_commands import app
from hazardline.device.bundle import verify_bundle
from hazardline.errors import UserError
from hazardline.progress import SilentReporter
from hazardline.release.keys import KeyFolder
from hazardline.release.publish import Publisher, prepare, publish, renew
from hazardline.release.rotate import rotate_key
from tests.release.world import MODEL, World, write_bundle

IN_THE_SECRET = (f"model-{MODEL}.pem", "snapshot.pem", "timestamp.pem", "root.json")


class Notes(SilentReporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Pod(World):
    """A publisher with mounted keys and a home of its own."""

    @property
    def keys(self) -> KeyFolder:
        return KeyFolder(self.root / "secret")


def mount(folder: Path, options: str) -> None:
    """Mount a file system in memory, as Kubernetes does for a Secret, or mount it anew with other options."""
    command = ["mount", "-t", "tmpfs", "-o", options, "hazardline-test", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting takes more rights than this process has ({done.stderr.strip()})")


def fill(secret: Path, keys: Path) -> None:
    """As the kubelet does: files in a folder with a time for a name, and links to them."""
    data = secret / "..2026_11_29_07_00_00.123456789"
    data.mkdir()
    (secret / "..data").symlink_to(data.name)
    for name in IN_THE_SECRET:
        shutil.copyfile(keys / name, data / name)
        (data / name).chmod(0o644)
        (secret / name).symlink_to(f"..data/{name}")


@pytest.fixture
def owner(tmp_path: Path) -> World:
    """Who holds all keys, and has made a repository."""
    world = World.at(tmp_path)
    prepare(world.publisher(), MODEL)
    return world


@pytest.fixture
def pod(owner: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    secret = owner.root / "secret"
    secret.mkdir()
    mount(secret, "mode=0755")
    try:
        fill(secret, owner.keys.folder)
        mount(secret, "remount,ro")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
        monkeypatch.setenv("HAZARDLINE_HOME", str(owner.root / "home"))
        yield Pod.at(owner.root)
    finally:
        subprocess.run(["umount", secret], check=True)


def new_home(pod: Pod, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAZARDLINE_HOME", str(pod.root / name))


def test_pods_release_with_mounted_keys_each_from_an_empty_home(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    device = pod.device()
    for version in (1, 2):
        new_home(pod, f"home-{version}", monkeypatch)
        assert pod.release(write_bundle(pod.root / f"bundle-{version}", str(version))).version == version
        assert pod.update(device).status == "installed"


def test_a_rotation_elsewhere_is_followed_through_the_roots(pod: Pod, owner: World) -> None:
    rotate_key(owner.publisher(), "root-1")
    assert pod.release(write_bundle(pod.root / "bundle")).version == 1
    assert pod.keys.root_path.read_bytes() == owner.keys.root_path.read_bytes()


def test_old_files_are_noticed_where_the_home_stays(pod: Pod) -> None:
    old = pod.root / "old"
    shutil.copytree(pod.repository, old)
    pod.release(write_bundle(pod.root / "bundle"))
    shutil.rmtree(pod.repository)
    old.rename(pod.repository)
    with pytest.raises(UserError, match="somebody put old files back"):
        renew(pod.publisher())


def test_devices_notice_old_files_where_the_home_is_new(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod that starts with nothing cannot know; what it signs then is older than what devices have seen."""
    device, old = pod.device(), pod.root / "old"
    shutil.copytree(pod.repository, old)
    for version in "12":
        pod.release(write_bundle(pod.root / f"bundle-{version}", version))
    assert pod.update(device).status == "installed"
    shutil.rmtree(pod.repository)
    old.rename(pod.repository)
    new_home(pod, "new", monkeypatch)
    pod.release(write_bundle(pod.root / "bundle-3", "3"))
    assert pod.update(device).status == "failed"


def test_a_pod_makes_no_repository_and_no_key(pod: Pod) -> None:
    shutil.rmtree(pod.repository)
    with pytest.raises(UserError, match=r"targets\.pem: the signing key cannot be read"):
        pod.release(write_bundle(pod.root / "bundle"))
    with pytest.raises(UserError, match=r"holds no model-other\.pem, and is mounted read only"):
        prepare(pod.publisher(), "other")


def test_modes_count_on_a_machine_that_is_no_pod(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(UserError, match="has mode 0755, expected 0700"):
        renew(pod.publisher())


def test_modes_count_where_the_folder_is_not_a_mount_of_its_own(owner: World) -> None:
    open_folder = owner.root / "copy"
    shutil.copytree(owner.keys.folder, open_folder)
    open_folder.chmod(0o755)
    publisher = Publisher(owner.publisher().destination, KeyFolder(open_folder), owner.expiry, owner.now)
    with pytest.raises(UserError, match="has mode 0755, expected 0700"):
        renew(publisher)
    open_folder.chmod(0o700)
    (open_folder / "timestamp.pem").chmod(0o644)
    with pytest.raises(UserError, match=r"timestamp\.pem: the signing key has mode 0644, expected 0600"):
        renew(publisher)


def test_the_command_makes_keys_and_a_repository_and_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HAZARDLINE_REPOSITORY", str(tmp_path / "repository"))
    monkeypatch.setenv("HAZARDLINE_SIGNING_KEYS", str(tmp_path / "keys"))
    said = CliRunner().invoke(app, ["init"])
    assert said.exit_code == 0 and "knows the model crashchat" in said.output
    assert set(IN_THE_SECRET) < {path.name for path in (tmp_path / "keys").iterdir()}
    assert not (tmp_path / "home").exists()
    assert (tmp_path / "repository/metadata/timestamp.json").is_file()
    assert [path.name for path in (tmp_path / "repository").iterdir() if path.name == "targets"] == []


def test_roles_whose_keys_are_elsewhere_wait_for_those_and_no_release_does(pod: Pod, owner: World) -> None:
    bundle, reporter = write_bundle(pod.root / "bundle"), Notes()
    assert pod.release(bundle).version == 1
    device, late = pod.device(), pod.expiry.targets_days * 0.7
    released = publish(pod.publisher(days=late), MODEL, "beta", verify_bundle(bundle), {}, reporter)
    assert released.is_new
    (note,) = reporter.notes
    assert re.fullmatch(r"targets expires on \S+, and its key is not here: renew it where that is", note)
    assert list(renew(pod.publisher(days=late))) == ["targets"]
    assert renew(owner.publisher(days=late)) == {}
    assert renew(pod.publisher(days=late)) == {}
    assert pod.update(device).status == "installed"
    with pytest.raises(UserError, match=r"targets\.pem: the signing key cannot be read"):
        renew(pod.publisher(days=3 * late))
