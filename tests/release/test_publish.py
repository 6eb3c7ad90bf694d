"""Publishing to a folder: layout, order, repetition, interruption, two at once, keys."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from hazardline.device.bundle import verify_bundle
from hazardline.errors import UserError
from hazardline.files import sha256_file, sha256_tree
from hazardline.release.destination import FolderDestination, PublishConflictError, Stamp
from hazardline.release.document import Release
from hazardline.release.publish import renew, rotate_root
from tests.release.world import MODEL, World, flip_bit, write_bundle


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.at(tmp_path)


def stored_files(world: World) -> set[str]:
    return {p.name for p in (world.repository / "targets/files" / MODEL).iterdir()}


def test_layout_of_a_release(world: World) -> None:
    published = world.release_version("1")
    assert (published.version, published.is_new, published.num_files_uploaded) == (1, True, 8)
    metadata = world.repository / "metadata"
    names = ["1.model-crashchat.json", "1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]
    assert sorted(p.name for p in metadata.iterdir()) == names
    bundle = verify_bundle(world.root / "bundle-1")
    digests = {bundle.manifest_sha256, *(file.sha256 for file in bundle.files)}
    assert stored_files(world) == {f"{digest}.{digest}" for digest in digests}
    document = Release.read(next((world.repository / "targets/releases" / MODEL).iterdir()))
    assert [file.path for file in document.files] == sorted(["manifest.json", *(file.path for file in bundle.files)])
    assert document.facts == {"registered": "7"} and document.manifest_sha256 == bundle.manifest_sha256
    root = Metadata[Root].from_bytes(published.root)
    assert root.signed.roles["root"].threshold == 2 and len(root.signed.roles["root"].keyids) == 3
    assert len(root.signatures) == 2 and root.signed.consistent_snapshot


def test_publishing_the_same_again_changes_nothing(world: World) -> None:
    world.release_version("1")
    before = sha256_tree(world.repository)
    again = world.release_version("1")
    assert (again.version, again.is_new, again.num_files_uploaded) == (1, False, 0)
    assert sha256_tree(world.repository) == before


def test_publishing_the_same_again_renews_what_would_expire(world: World) -> None:
    world.release_version("1")
    published = world.release(world.root / "bundle-1", days=5)
    assert (published.version, published.is_new) == (1, False)
    assert (world.repository / "metadata/2.snapshot.json").exists()


def test_a_new_version_uploads_only_what_is_new(world: World) -> None:
    world.release_version("1")
    published = world.release_version("2")
    assert (published.version, published.num_files_uploaded) == (2, 4)
    assert len(stored_files(world)) == 12


def test_a_damaged_upload_is_replaced_by_the_next_release(world: World) -> None:
    world.release_version("1")
    digest = sha256_file(world.root / "bundle-1/decoder.onnx")
    stored = world.repository / f"targets/files/{MODEL}/{digest}.{digest}"
    flip_bit(stored)
    world.release_version("2")
    assert sha256_file(stored) == digest


class PowerCut(BaseException):
    pass


class CutOff(FolderDestination):
    """A folder whose publisher loses its power before the n-th write."""

    def __init__(self, root: Path, writes_left: int) -> None:
        super().__init__(root)
        self.writes_left = writes_left

    def _count(self) -> None:
        if self.writes_left == 0:
            raise PowerCut
        self.writes_left -= 1

    def add(self, name: str, data: bytes) -> None:
        self._count()
        super().add(name, data)

    def add_file(self, name: str, source: Path, sha256: str) -> bool:
        self._count()
        return super().add_file(name, source, sha256)

    def commit(self, data: bytes, previous: Stamp | None) -> None:
        self._count()
        super().commit(data, previous)


def test_a_publisher_cut_off_before_any_write_leaves_the_old_release(world: World) -> None:
    world.release_version("1")
    bundle = write_bundle(world.root / "next", "2")
    device = world.device()
    num_cut = 0
    for writes in range(100):
        try:
            published = world.release(bundle, CutOff(world.repository, writes))
        except PowerCut:
            num_cut += 1
            assert world.update(device).version == 1, f"after {writes} writes"
        else:
            break
    # root, 8 files, release, channel, model, snapshot, timestamp
    assert num_cut == 14
    assert published.version == 2 and world.update(device).version == 2
    # Versions that were left behind were skipped, never written again.
    assert world.release_version("3").version == 3
    assert world.update(device).version == 3


def test_the_very_first_release_cut_off_at_any_write(world: World) -> None:
    bundle = write_bundle(world.root / "first")
    for writes in range(100):
        try:
            published = world.release(bundle, CutOff(world.repository, writes))
        except PowerCut:
            assert not (world.repository / "metadata/timestamp.json").exists()
        else:
            break
    assert published.version == 1 and world.update(world.device()).version == 1


def test_a_second_publisher_is_told_while_the_first_is_at_work(world: World) -> None:
    world.release_version("1")
    with FolderDestination(world.repository).exclusive(), pytest.raises(PublishConflictError, match="at work here"):
        world.release_version("2")
    assert world.release_version("2").version == 2


def test_a_publisher_that_overlooked_another_one_is_refused(world: World) -> None:
    """As on a bucket, where nothing can be locked: somebody commits between reading and committing."""

    class Overtaken(FolderDestination):
        def commit(self, data: bytes, previous: Stamp | None) -> None:
            timestamp = world.repository / "metadata/timestamp.json"
            timestamp.write_bytes(timestamp.read_bytes() + b" ")
            super().commit(data, previous)

    world.release_version("1")
    bundle = write_bundle(world.root / "next", "2")
    with pytest.raises(PublishConflictError, match=r"timestamp\.json: another publisher"):
        world.release(bundle, Overtaken(world.repository))
    with pytest.raises(PublishConflictError, match="another publisher"):
        FolderDestination(world.repository).add("metadata/1.snapshot.json", b"other")


def test_private_keys_stay_where_they_are_and_belong_to_their_owner(world: World) -> None:
    world.release_version("1")
    secrets = [path.read_bytes() for path in world.keys.folder.glob("*.pem")]
    assert len(secrets) == 7 and all(b"PRIVATE KEY" in secret for secret in secrets)
    assert stat.S_IMODE(world.keys.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in world.keys.folder.glob("*.pem")} == {0o600}
    assert "not for production" in (world.keys.folder / "README.md").read_text()
    assert (world.keys.folder / ".gitignore").read_text() == "*\n"
    bodies = [secret.splitlines()[1] for secret in secrets]
    for path in world.repository.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"PRIVATE KEY" not in data and not any(body in data for body in bodies), path


def test_keys_that_others_may_read_are_not_used(world: World) -> None:
    world.release_version("1")
    (world.keys.folder / "timestamp.pem").chmod(0o644)
    with pytest.raises(UserError, match="mode 0644, expected 0600"):
        world.release_version("2")
    (world.keys.folder / "timestamp.pem").chmod(0o600)
    world.keys.folder.chmod(0o755)
    with pytest.raises(UserError, match="mode 0755, expected 0700"):
        world.release_version("2")


def test_releases_go_on_without_the_offline_keys(world: World) -> None:
    world.release_version("1")
    for name in ("root-1", "root-2", "root-3", "targets"):
        (world.keys.folder / f"{name}.pem").unlink()
    assert world.release_version("2").version == 2
    renew(world.publisher())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_text("no key"), "is not an unencrypted private key"),
    ],
)
def test_a_missing_or_broken_key_is_named(world: World, spoil: Callable[[Path], None], message: str) -> None:
    world.release_version("1")
    spoil(world.keys.folder / "model-crashchat.pem")
    with pytest.raises(UserError, match=rf"model-crashchat\.pem: .*{message}") as caught:
        world.release_version("2")
    assert "no key" not in str(caught.value)


def test_old_files_put_back_at_the_destination_are_noticed(world: World) -> None:
    world.release_version("1")
    timestamp = world.repository / "metadata/timestamp.json"
    old = timestamp.read_bytes()
    world.release_version("2")
    timestamp.write_bytes(old)
    with pytest.raises(UserError, match="somebody put old files back"):
        world.release_version("3")
    timestamp.unlink()
    with pytest.raises(UserError, match="is empty, but the keys"):
        world.release_version("3")


def test_a_destination_of_other_keys_is_left_alone(world: World) -> None:
    world.release_version("1")
    stranger = World.at(world.root / "stranger")
    stranger.root.mkdir()
    bundle = write_bundle(world.root / "next", "2")
    before = sha256_tree(world.repository)
    with pytest.raises(UserError, match="was published with other keys"):
        stranger.release(bundle, FolderDestination(world.repository))
    assert sha256_tree(world.repository) == before


def test_a_channel_document_that_was_changed_is_noticed(world: World) -> None:
    world.release_version("1")
    flip_bit(next((world.repository / "targets/channels" / MODEL).iterdir()))
    with pytest.raises(UserError, match=r"channels/crashchat/stable\.json was changed"):
        world.release_version("2")


def test_an_expired_root_is_named_and_can_be_renewed(world: World) -> None:
    world.release_version("1")
    bundle = write_bundle(world.root / "next", "2")
    with pytest.raises(UserError, match="the root expired"):
        world.release(bundle, days=366)
    rotate_root(world.publisher(days=366), ["root-1", "root-2"], add={}, revoke={})
    assert world.release(bundle, days=366).version == 2


def test_a_root_with_too_few_signatures_is_not_published(world: World) -> None:
    world.release_version("1")
    with pytest.raises(UserError, match="root version 2"):
        rotate_root(world.publisher(), ["root-1"], add={}, revoke={})
    assert not (world.repository / "metadata/2.root.json").exists()
    assert world.release_version("2").version == 2


def test_renewal_needs_a_release(world: World) -> None:
    with pytest.raises(UserError, match="nothing was ever published"):
        renew(world.publisher())
