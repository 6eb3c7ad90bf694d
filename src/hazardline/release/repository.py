"""The TUF repository as objects in memory: what is signed, by whom, in which version. No files, no network, no clock.

Roles (The Update Framework specification 1.0, python-tuf's metadata API):
    root       2 of 3 offline keys; says which keys sign the other roles
    targets    says which models exist and which key signs for each; lists no files itself
    model-...  one delegated role a model; lists its files, releases and channels
    snapshot   version and hash of every targets role, so that they cannot be mixed
    timestamp  version and hash of the snapshot; signed often, expires soon
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from hazardline.errors import UserError
from hazardline.release.config import Expiry
from hazardline.release.document import delegated_paths, model_role
from hazardline.release.keys import ROOT_THRESHOLD

T = TypeVar("T", bound=Signed)

SignerOf = Callable[[str], CryptoSigner]
"""Signer of a role's key: `targets`, `model-<name>`, `snapshot`, `timestamp`."""


@dataclass(frozen=True)
class SignedFile:
    """A metadata file that is ready to be written, below `metadata/`."""

    name: str
    data: bytes


@dataclass
class Repository:
    """Metadata of a repository that is being edited; `seal` gives the files that make the edits true."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    models: dict[str, Metadata[Targets]]
    """Delegated metadata by role name."""
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    changed: set[str] = field(default_factory=set)
    """Roles that must be signed anew: `targets` or a model's role."""

    def add_model(self, model: str, key: Key) -> None:
        """Delegate the paths of a model to its key; nothing happens where that is so already.

        Raises:
            UserError: the model is delegated to another key.
        """
        role = model_role(model)
        delegations = self.targets.signed.delegations or Delegations({}, {})
        roles = delegations.roles or {}
        if role in roles:
            if roles[role].keyids != [key.keyid]:
                raise UserError(f"model {model}: the repository trusts another key for it than {role}.pem")
            return
        delegations.keys[key.keyid] = key
        roles[role] = DelegatedRole(role, [key.keyid], threshold=1, terminating=True, paths=delegated_paths(model))
        delegations.roles = roles
        self.targets.signed.delegations = delegations
        self.models[role] = Metadata(Targets())
        self.changed |= {"targets", role}

    def add_target(self, model: str, path: str, size_bytes: int, sha256: str) -> None:
        """List a target under a model; nothing happens where it is listed so already."""
        role = model_role(model)
        targets = self.models[role].signed.targets
        target = TargetFile(size_bytes, {"sha256": sha256}, path)
        if targets.get(path) != target:
            targets[path] = target
            self.changed.add(role)

    def target(self, model: str, path: str) -> TargetFile | None:
        """A listed target."""
        role = self.models.get(model_role(model))
        return role.signed.targets.get(path) if role else None


def new_root(
    keys: Mapping[str, list[Key]], now: datetime, expiry: Expiry, threshold: int = ROOT_THRESHOLD
) -> Metadata[Root]:
    """An unsigned first root.

    Args:
        keys: public keys of `root`, `targets`, `snapshot` and `timestamp`.
        now: clock, UTC.
        expiry: days of validity.
        threshold: how many root keys must sign a root.
    """
    root = Root(expires=_after(now, expiry.root_days), consistent_snapshot=True)
    for role, role_keys in keys.items():
        for key in role_keys:
            root.add_key(key, role)
    root.roles["root"].threshold = threshold
    return Metadata(root)


def next_root(
    root: Metadata[Root], now: datetime, expiry: Expiry, add: Mapping[str, list[Key]], revoke: Mapping[str, list[str]]
) -> Metadata[Root]:
    """The unsigned successor of a root: keys exchanged, validity renewed.

    It must be signed by enough keys of the old root *and* of itself.

    Args:
        root: the current root.
        now: clock, UTC.
        expiry: days of validity.
        add: keys to add, by role.
        revoke: ids of keys to revoke, by role.
    """
    successor = Metadata[Root].from_bytes(root.to_bytes())
    successor.signatures.clear()
    for role, keys in add.items():
        for key in keys:
            successor.signed.add_key(key, role)
    for role, key_ids in revoke.items():
        for key_id in key_ids:
            successor.signed.revoke_key(key_id, role)
    successor.signed.version = root.signed.version + 1
    successor.signed.expires = _after(now, expiry.root_days)
    return successor


def sign_root(root: Metadata[Root], signers: list[CryptoSigner]) -> bytes:
    """Sign a root with several keys, and give its bytes."""
    root.signatures.clear()
    for signer in signers:
        root.sign(signer, append=True)
    return serialize(root)


def trust_next_root(trusted: Metadata[Root], data: bytes) -> Metadata[Root]:
    """Follow a root to its successor, as a device does.

    Raises:
        UserError: it is not signed by enough keys of both, or is not the next version.
    """
    try:
        successor = Metadata[Root].from_bytes(data)
        trusted.signed.verify_delegate("root", successor.signed_bytes, successor.signatures)
        successor.signed.verify_delegate("root", successor.signed_bytes, successor.signatures)
    except (RepositoryError, ValueError) as error:
        raise _not_ours(f"root version {trusted.signed.version + 1}", error) from None
    if successor.signed.version != trusted.signed.version + 1:
        raise _not_ours(f"root version {trusted.signed.version + 1}", f"it says {successor.signed.version}")
    return successor


def empty_repository(root: Metadata[Root]) -> Repository:
    """A repository in which nothing has been published."""
    return Repository(
        root,
        Metadata(Targets()),
        {},
        Metadata(Snapshot(version=1, meta={})),
        Metadata(Timestamp()),
        changed={"targets"},
    )


def load_repository(root: Metadata[Root], timestamp: bytes, read: Callable[[str], bytes]) -> Repository:
    """The committed state of a repository, every signature and hash checked (but not expiry: a publisher may renew).

    Without these checks whoever can write to the destination could have their own files signed by the next release.

    Args:
        root: trusted root.
        timestamp: bytes of `timestamp.json`.
        read: gives a metadata file by its name; raises UserError where it is missing.

    Raises:
        UserError: something is missing or was not signed by the keys of the root.
    """
    stamp = _verified(root.signed, "timestamp", timestamp, None)
    meta = stamp.signed.snapshot_meta
    snapshot = _verified(root.signed, "snapshot", read(f"{meta.version}.snapshot.json"), meta)
    metas = snapshot.signed.meta
    if "targets.json" not in metas:
        raise _not_ours("snapshot", "it lists no targets")
    meta = metas["targets.json"]
    targets = _verified(root.signed, "targets", read(f"{meta.version}.targets.json"), meta)
    models = {}
    roles = (targets.signed.delegations.roles if targets.signed.delegations else None) or {}
    for role in roles:
        if f"{role}.json" not in metas:
            raise _not_ours("snapshot", f"it does not list {role}")
        meta = metas[f"{role}.json"]
        models[role] = _verified(targets.signed, role, read(f"{meta.version}.{role}.json"), meta)
    return Repository(root, targets, models, snapshot, stamp)


def seal(
    repository: Repository,
    signer_of: SignerOf,
    holds: Callable[[str], bool],
    taken: Mapping[str, int],
    expiry: Expiry,
    now: datetime,
) -> list[SignedFile]:
    """Sign what has changed or has lived half of its time, and give the files in the order in which to write them.

    A role whose key is elsewhere stays as it was signed there for as long as it is valid (`left_to_others`). Versions
    go up strictly, also past versions that a publisher left behind when it was cut off before the timestamp.

    Args:
        repository: edited in place.
        signer_of: signer of a role.
        holds: whether a role's key is here.
        taken: highest version of each role that lies at the destination, committed or not.
        expiry: days of validity.
        now: clock, UTC.

    Returns:
        targets, models, snapshot, timestamp: a reader sees none of them before the last is in place.
    """
    files = []
    for role, metadata in [("targets", repository.targets), *sorted(repository.models.items())]:
        lifetime = timedelta(days=expiry.targets_days)
        is_due = metadata.signed.expires - now < lifetime / 2
        if role in repository.changed or (is_due and (holds(role) or metadata.signed.expires <= now)):
            files.append(_sign(repository, role, metadata, signer_of, taken, now + lifetime))
    snapshot, timestamp = repository.snapshot, repository.timestamp
    snapshot.signed.version = _next(snapshot, taken.get("snapshot", 0))
    snapshot.signed.expires = _after(now, expiry.snapshot_days)
    snapshot.sign(signer_of("snapshot"))
    data = serialize(snapshot)
    files.append(SignedFile(f"{snapshot.signed.version}.snapshot.json", data))
    timestamp.signed.version = _next(timestamp, 0)
    timestamp.signed.snapshot_meta = MetaFile.from_data(snapshot.signed.version, data, ["sha256"])
    timestamp.signed.expires = _after(now, expiry.timestamp_days)
    timestamp.sign(signer_of("timestamp"))
    files.append(SignedFile("timestamp.json", serialize(timestamp)))
    repository.changed.clear()
    return files


def needs_renewal(repository: Repository, holds: Callable[[str], bool], expiry: Expiry, now: datetime) -> bool:
    """Whether a role that can be signed here has lived half of its time: publishing again makes sense without news."""
    return any(holds(role) for role in _due(repository, expiry, now))


def left_to_others(
    repository: Repository, holds: Callable[[str], bool], expiry: Expiry, now: datetime
) -> dict[str, datetime]:
    """Roles that have lived half of their time and whose keys are elsewhere, with the end of their validity."""
    return {role: end for role, end in _due(repository, expiry, now).items() if not holds(role)}


def _due(repository: Repository, expiry: Expiry, now: datetime) -> dict[str, datetime]:
    """Roles that have lived half of their time, with the end of their validity."""
    ages: list[tuple[str, Signed, int]] = [
        ("timestamp", repository.timestamp.signed, expiry.timestamp_days),
        ("snapshot", repository.snapshot.signed, expiry.snapshot_days),
        ("targets", repository.targets.signed, expiry.targets_days),
        *((role, metadata.signed, expiry.targets_days) for role, metadata in sorted(repository.models.items())),
    ]
    return {role: signed.expires for role, signed, days in ages if signed.expires - now < timedelta(days=days) / 2}


def serialize(metadata: Metadata[Any]) -> bytes:
    """Bytes of a metadata file."""
    return metadata.to_bytes(JSONSerializer())


def _sign(
    repository: Repository,
    role: str,
    metadata: Metadata[Targets],
    signer_of: SignerOf,
    taken: Mapping[str, int],
    expires: datetime,
) -> SignedFile:
    metadata.signed.version = _next(metadata, taken.get(role, 0))
    metadata.signed.expires = expires.replace(microsecond=0)
    metadata.sign(signer_of(role))
    data = serialize(metadata)
    repository.snapshot.signed.meta[f"{role}.json"] = MetaFile.from_data(metadata.signed.version, data, ["sha256"])
    return SignedFile(f"{metadata.signed.version}.{role}.json", data)


def _next(metadata: Metadata[Any], taken: int) -> int:
    # Metadata that was never signed has version 1 already, and 1 is what it should be published as.
    current = metadata.signed.version if metadata.signatures else 0
    return max(current, taken) + 1


def _after(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(microsecond=0)


def _verified(delegator: Root | Targets, role: str, data: bytes, meta: MetaFile | None) -> Metadata[Any]:
    try:
        if meta is not None:
            meta.verify_length_and_hashes(data)
        metadata = Metadata[Any].from_bytes(data)
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise _not_ours(role, error) from None
    if meta is not None and metadata.signed.version != meta.version:
        raise _not_ours(role, f"it says version {metadata.signed.version}, expected {meta.version}")
    return metadata


def _not_ours(role: str, error: object) -> UserError:
    return UserError(
        f"the repository's {role} metadata is not what its keys signed ({error}); restore the repository from a copy, "
        "and find out who changed it, before anything is released"
    )
