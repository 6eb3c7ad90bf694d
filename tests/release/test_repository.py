"""The repository in memory: versions, signatures, order, renewal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from hazardline.errors import UserError
from hazardline.release.config import Expiry
from hazardline.release.keys import KeyFolder
from hazardline.release.repository import (
    Repository,
    empty_repository,
    load_repository,
    needs_renewal,
    new_root,
    next_root,
    seal,
    sign_root,
    trust_next_root,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRY = Expiry()
DIGEST = "ab" * 32


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    keys = KeyFolder(tmp_path / "keys")
    keys.prepare()
    keys.generate(["root-1", "root-2", "root-3", "root-4", "targets", "snapshot", "timestamp", "model-m", "model-n"])
    return keys


@pytest.fixture
def repository(keys: KeyFolder) -> Repository:
    roots = [keys.public_key(f"root-{number}") for number in (1, 2, 3)]
    others = {role: [keys.public_key(role)] for role in ("targets", "snapshot", "timestamp")}
    root = new_root({"root": roots, **others}, NOW, EXPIRY)
    sign_root(root, [keys.signer("root-1"), keys.signer("root-3")])
    repository = empty_repository(root)
    repository.add_model("m", keys.public_key("model-m"))
    return repository


def test_files_come_in_order_and_the_timestamp_last(repository: Repository, keys: KeyFolder) -> None:
    repository.add_target("m", "files/m/x", 3, DIGEST)
    names = [file.name for file in seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)]
    assert names == ["1.targets.json", "1.model-m.json", "1.snapshot.json", "timestamp.json"]


def test_versions_go_up_and_skip_what_was_left_behind(repository: Repository, keys: KeyFolder) -> None:
    seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)
    repository.add_target("m", "files/m/x", 3, DIGEST)
    names = [file.name for file in seal(repository, keys.signer, keys.has, {"snapshot": 5, "model-m": 1}, EXPIRY, NOW)]
    assert names == ["2.model-m.json", "6.snapshot.json", "timestamp.json"]
    assert repository.timestamp.signed.version == 2
    repository.add_target("m", "files/m/x", 3, DIGEST)
    names = [file.name for file in seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)]
    assert names == ["7.snapshot.json", "timestamp.json"]


def test_what_was_sealed_loads_and_goes_on(repository: Repository, keys: KeyFolder) -> None:
    repository.add_target("m", "files/m/x", 3, DIGEST)
    files = {file.name: file.data for file in seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)}
    loaded = load_repository(repository.root, files["timestamp.json"], files.__getitem__)
    target = loaded.target("m", "files/m/x")
    assert target is not None and (target.length, target.hashes) == (3, {"sha256": DIGEST})
    assert loaded.target("m", "files/m/y") is None and loaded.target("n", "files/n/x") is None
    loaded.add_model("m", keys.public_key("model-m"))
    assert not loaded.changed
    with pytest.raises(UserError, match="trusts another key"):
        loaded.add_model("m", keys.public_key("model-n"))
    loaded.add_model("n", keys.public_key("model-n"))
    names = [file.name for file in seal(loaded, keys.signer, keys.has, {}, EXPIRY, NOW)]
    assert names == ["2.targets.json", "1.model-n.json", "2.snapshot.json", "timestamp.json"]


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.model-m.json"])
def test_loading_refuses_any_changed_file(repository: Repository, keys: KeyFolder, name: str) -> None:
    files = {file.name: file.data for file in seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)}
    metadata = Metadata.from_bytes(files[name])
    metadata.signed.expires += timedelta(days=1000)
    files[name] = metadata.to_bytes()
    with pytest.raises(UserError, match="metadata is not what its keys signed"):
        load_repository(repository.root, files["timestamp.json"], files.__getitem__)


def test_what_is_half_way_to_its_expiry_is_renewed(repository: Repository, keys: KeyFolder) -> None:
    seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)
    assert not needs_renewal(repository, keys.has, EXPIRY, NOW + timedelta(days=3))
    assert needs_renewal(repository, keys.has, EXPIRY, NOW + timedelta(days=4))
    soon = [file.name for file in seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW + timedelta(days=4))]
    assert soon == ["2.snapshot.json", "timestamp.json"]
    late = [file.name for file in seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW + timedelta(days=46))]
    assert late == ["2.targets.json", "2.model-m.json", "3.snapshot.json", "timestamp.json"]
    assert repository.targets.signed.expires == NOW + timedelta(days=46 + EXPIRY.targets_days)


def test_the_same_edits_at_the_same_time_give_the_same_bytes(repository: Repository, keys: KeyFolder) -> None:
    first = seal(repository, keys.signer, keys.has, {}, EXPIRY, NOW)
    again = empty_repository(repository.root)
    again.add_model("m", keys.public_key("model-m"))
    assert seal(again, keys.signer, keys.has, {}, EXPIRY, NOW) == first


def test_a_root_is_followed_only_with_enough_signatures_of_both(repository: Repository, keys: KeyFolder) -> None:
    old = [keys.public_key(name).keyid for name in ("root-1", "root-2")]
    new = {"root": [keys.public_key("root-4")]}
    for signers, is_enough in [
        (["root-1", "root-3", "root-4"], True),
        (["root-1", "root-2"], False),  # the new root trusts neither
        (["root-3", "root-4"], False),  # of the old keys only one
        (["root-1"], False),
    ]:
        successor = next_root(repository.root, NOW, EXPIRY, new, {"root": old})
        data = sign_root(successor, [keys.signer(name) for name in signers])
        if is_enough:
            assert trust_next_root(repository.root, data).signed.version == 2
        else:
            with pytest.raises(UserError, match="root version 2"):
                trust_next_root(repository.root, data)
    with pytest.raises(UserError, match="it says 1"):
        trust_next_root(repository.root, repository.root.to_bytes())
