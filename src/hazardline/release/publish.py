"""Publishing: bring a bundle, signed, to a destination, so that a device sees all of it or nothing of it.

Order: files and documents, targets, models, snapshot, and the timestamp last. Until the timestamp is replaced every
reader is led to the old release; a publisher that was cut off has only left files that nobody is led to.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, TargetFile

from hazardline.device.bundle import MANIFEST_NAME, BundleInfo
from hazardline.errors import UserError
from hazardline.files import canonical_json, sha256_bytes
from hazardline.progress import Reporter
from hazardline.release.config import Expiry
from hazardline.release.destination import TIMESTAMP, Destination, Stamp
from hazardline.release.document import (
    Channel,
    Release,
    ReleaseFile,
    channel_target,
    file_target,
    model_role,
    release_target,
)
from hazardline.release.keys import ROOT_KEYS, ROOT_THRESHOLD, KeyFolder
from hazardline.release.repository import (
    Repository,
    empty_repository,
    left_to_others,
    load_repository,
    needs_renewal,
    new_root,
    next_root,
    seal,
    serialize,
    sign_root,
    trust_next_root,
)

_VERSIONED = re.compile(r"^(\d+)\.(.+)\.json$")


@dataclass(frozen=True)
class Publisher:
    """Who publishes: where to, with which keys, with which validity, and what time it is."""

    destination: Destination
    keys: KeyFolder
    expiry: Expiry
    now: datetime
    """UTC."""


@dataclass(frozen=True)
class Published:
    """What publishing came to."""

    version: int
    is_new: bool
    """False: the channel held this very bundle already."""
    num_files_uploaded: int
    root: bytes
    """The root metadata with which a device can be provisioned."""


def publish(
    publisher: Publisher,
    model: str,
    channel: str,
    bundle: BundleInfo,
    facts: Mapping[str, str],
    reporter: Reporter,
) -> Published:
    """Release a verified bundle and let a channel point to it. Doing it twice changes nothing.

    Args:
        publisher: destination, keys, validity, clock.
        model: line of releases.
        channel: which devices get it.
        bundle: result of `verify_bundle`.
        facts: where the bundle comes from.
        reporter: progress, a unit a file.

    Raises:
        UserError: keys or destination are unusable, or the destination was tampered with.
        PublishConflictError: somebody else published at the same time.
    """
    with publisher.destination.exclusive():
        stamp = publisher.destination.stamp()
        repository = _open(publisher, stamp)
        _ensure_model(publisher.keys, repository, model)
        current = _current(publisher, repository, model, channel)
        if current is not None and current.manifest_sha256 == bundle.manifest_sha256:
            if needs_renewal(repository, publisher.keys.has, publisher.expiry, publisher.now):
                _commit(publisher, repository, stamp)
            return Published(current.version, False, 0, serialize(repository.root))
        release = _release(repository, model, bundle, facts, publisher.now)
        num_uploaded = _add_files(publisher, repository, release, bundle.folder, reporter)
        digest = _add_document(publisher, repository, model, release_target(model, release.version), release)
        pointer = Channel(model=model, channel=channel, version=release.version, release_sha256=digest)
        _add_document(publisher, repository, model, channel_target(model, channel), pointer)
        _commit(publisher, repository, stamp)
        left = left_to_others(repository, publisher.keys.has, publisher.expiry, publisher.now)
        for role, end in left.items():
            reporter.note(f"{role} expires on {end:%Y-%m-%d}, and its key is not here: renew it where that is")
        return Published(release.version, True, num_uploaded, serialize(repository.root))


def roll_back(publisher: Publisher, model: str, channel: str, version: int, reason: str) -> Channel:
    """Let a channel point to an older release, with the signed word that devices may go back to it.

    Raises:
        UserError: there is no such release; or as in `publish`.
    """
    with publisher.destination.exclusive():
        stamp = publisher.destination.stamp()
        repository = _open(publisher, stamp)
        target = repository.target(model, release_target(model, version))
        if target is None:
            raise UserError(f"{publisher.destination.address()}: model {model} has no release {version}")
        pointer = Channel(
            model=model,
            channel=channel,
            version=version,
            release_sha256=target.hashes["sha256"],
            is_rollback=True,
            reason=reason,
        )
        _add_document(publisher, repository, model, channel_target(model, channel), pointer)
        _commit(publisher, repository, stamp)
        return pointer


def renew(publisher: Publisher) -> dict[str, datetime]:
    """Sign snapshot and timestamp again (and older roles past half of their time): what a nightly job does.

    Returns:
        Roles that are to be renewed where their keys are, with the time until which devices take them.

    Raises:
        UserError: nothing was ever published; or as in `publish`.
    """
    with open_committed(publisher) as repository:
        return left_to_others(repository, publisher.keys.has, publisher.expiry, publisher.now)


def prepare(publisher: Publisher, model: str) -> bytes:
    """Make the signing keys that are missing, and a repository that knows the model; returns the root metadata.

    For machines that may not hold all keys: those that release the model then need its key and those of snapshot and
    timestamp alone. Doing it twice changes nothing but signatures.

    Raises:
        UserError: as in `publish`.
    """
    with publisher.destination.exclusive():
        stamp = publisher.destination.stamp()
        repository = _open(publisher, stamp)
        _ensure_model(publisher.keys, repository, model)
        _commit(publisher, repository, stamp)
        return serialize(repository.root)


@contextmanager
def open_committed(publisher: Publisher) -> Iterator[Repository]:
    """The repository as it was committed; what the block changes is signed and committed when it ends well.

    Raises:
        UserError: as in `renew`.
    """
    with publisher.destination.exclusive():
        stamp = publisher.destination.stamp()
        if stamp is None:
            raise UserError(f"{publisher.destination.address()}: nothing was ever published here")
        repository = _open(publisher, stamp)
        yield repository
        _commit(publisher, repository, stamp)


def rotate_root(
    publisher: Publisher, signers: list[str], add: Mapping[str, list[Key]], revoke: Mapping[str, list[str]]
) -> Metadata[Root]:
    """Publish the next root: keys exchanged, validity renewed.

    Args:
        publisher: destination, keys, validity, clock.
        signers: names of the root keys that sign; enough of the old root and of the new one.
        add: public keys to trust from now on, by role.
        revoke: ids of keys to trust no more, by role.

    Raises:
        UserError: too few signatures (nothing is published), or as in `publish`.
    """
    with publisher.destination.exclusive():
        trusted = _trusted_root(publisher)
        successor = next_root(trusted, publisher.now, publisher.expiry, add, revoke)
        data = sign_root(successor, [publisher.keys.signer(name) for name in signers])
        trust_next_root(trusted, data)
        publisher.destination.add(f"metadata/{successor.signed.version}.root.json", data)
        publisher.keys.trust(data)
        return successor


def _open(publisher: Publisher, stamp: Stamp | None) -> Repository:
    """The committed repository, or a new one (with new keys, where there are none) if nothing was ever committed."""
    keys, destination = publisher.keys, publisher.destination
    keys.prepare()
    if not keys.root_path.exists():
        if stamp is not None:
            raise UserError(
                f"{keys.folder}: holds no root.json, but {destination.address()} was published with other keys; name "
                "the folder of its keys (release.keys), or another destination"
            )
        _create_root(publisher)
    root = _trusted_root(publisher)
    if root.signed.is_expired(publisher.now):
        raise UserError(
            f"{keys.root_path}: the root expired on {root.signed.expires:%Y-%m-%d}; renew it with its offline keys"
        )
    if stamp is None:
        if keys.remembered():
            raise UserError(
                f"{destination.address()}: is empty, but the keys in {keys.folder} have published here before; restore "
                "it from a copy, or remove the folder of keys and provision every device anew"
            )
        return empty_repository(root)
    repository = load_repository(root, stamp.data, lambda name: _read(destination, f"metadata/{name}"))
    if repository.timestamp.signed.version < keys.remembered():
        raise UserError(
            f"{destination.address()}: shows timestamp version {repository.timestamp.signed.version}, but this "
            f"publisher has committed {keys.remembered()}: somebody put old files back. Restore it from a "
            "copy before releasing"
        )
    return repository


def _create_root(publisher: Publisher) -> None:
    keys = publisher.keys
    roles = ("targets", "snapshot", "timestamp")
    keys.generate((*ROOT_KEYS, *roles))
    public = {role: [keys.public_key(role)] for role in roles}
    root = new_root({"root": [keys.public_key(name) for name in ROOT_KEYS], **public}, publisher.now, publisher.expiry)
    data = sign_root(root, [keys.signer(name) for name in ROOT_KEYS[:ROOT_THRESHOLD]])
    keys.trust(data)


def _trusted_root(publisher: Publisher) -> Metadata[Root]:
    """The newest root: this publisher's own, and from there on what others with enough root keys have published."""
    data = publisher.keys.root_path.read_bytes()
    root = Metadata[Root].from_bytes(data)
    publisher.destination.add(f"metadata/{root.signed.version}.root.json", data)
    while (later := publisher.destination.read(f"metadata/{root.signed.version + 1}.root.json")) is not None:
        root = trust_next_root(root, later)
        publisher.keys.trust(later)
    return root


def _ensure_model(keys: KeyFolder, repository: Repository, model: str) -> None:
    """A new model gets a key of its own; the key of a known model must be here."""
    role = model_role(model)
    if role not in repository.models:
        keys.generate([role])
    repository.add_model(model, keys.public_key(role))


def _read(destination: Destination, name: str) -> bytes:
    data = destination.read(name)
    if data is None:
        raise UserError(f"{destination.address()}: {name} is missing; restore the repository from a copy")
    return data


def _current(publisher: Publisher, repository: Repository, model: str, channel: str) -> Release | None:
    """The release to which a channel points, read back and checked."""
    target = repository.target(model, channel_target(model, channel))
    if target is None:
        return None
    pointer = Channel.parse_json(_read_target(publisher, target), target.path)
    release = repository.target(model, release_target(model, pointer.version))
    if release is None or release.hashes.get("sha256") != pointer.release_sha256:
        raise UserError(f"{target.path}: points to release {pointer.version}, which the repository does not list")
    return Release.parse_json(_read_target(publisher, release), release.path)


def _read_target(publisher: Publisher, target: TargetFile) -> bytes:
    data = _read(publisher.destination, f"targets/{target.get_prefixed_paths()[0]}")
    try:
        target.verify_length_and_hashes(data)
    except RepositoryError as error:
        raise UserError(f"{publisher.destination.address()}: {target.path} was changed ({error})") from None
    return data


def _release(
    repository: Repository, model: str, bundle: BundleInfo, facts: Mapping[str, str], now: datetime
) -> Release:
    version = 1
    while repository.target(model, release_target(model, version)) is not None:
        version += 1
    manifest = ReleaseFile(
        path=MANIFEST_NAME,
        sha256=bundle.manifest_sha256,
        size_bytes=(bundle.folder / MANIFEST_NAME).stat().st_size,
    )
    files = [manifest, *(ReleaseFile(**file.model_dump()) for file in bundle.files)]
    return Release(
        model=model,
        version=version,
        bundle_name=bundle.name,
        bundle_version=bundle.version,
        manifest_sha256=bundle.manifest_sha256,
        files=tuple(sorted(files, key=lambda file: file.path)),
        released_at=now.isoformat(timespec="seconds"),
        facts=dict(facts),
    )


def _add_files(publisher: Publisher, repository: Repository, release: Release, folder: Path, reporter: Reporter) -> int:
    reporter.phase("upload", len(release.files))
    num_uploaded = 0
    for file in release.files:
        path = file_target(release.model, file.sha256)
        repository.add_target(release.model, path, file.size_bytes, file.sha256)
        name = _stored_name(repository, release.model, path)
        num_uploaded += publisher.destination.add_file(name, folder / file.path, file.sha256)
        reporter.advance()
    return num_uploaded


def _add_document(
    publisher: Publisher, repository: Repository, model: str, path: str, document: Release | Channel
) -> str:
    """Write a document as a target; returns its digest."""
    data = canonical_json(document.data())
    digest = sha256_bytes(data)
    repository.add_target(model, path, len(data), digest)
    publisher.destination.add(_stored_name(repository, model, path), data)
    return digest


def _stored_name(repository: Repository, model: str, path: str) -> str:
    target = repository.target(model, path)
    assert target is not None
    return f"targets/{target.get_prefixed_paths()[0]}"


def _commit(publisher: Publisher, repository: Repository, stamp: Stamp | None) -> None:
    taken: dict[str, int] = {}
    for name in publisher.destination.names("metadata"):
        if match := _VERSIONED.match(name):
            taken[match[2]] = max(taken.get(match[2], 0), int(match[1]))
    *files, timestamp = seal(
        repository, publisher.keys.signer, publisher.keys.has, taken, publisher.expiry, publisher.now
    )
    for file in files:
        publisher.destination.add(f"metadata/{file.name}", file.data)
    assert f"metadata/{timestamp.name}" == TIMESTAMP
    publisher.destination.commit(timestamp.data, stamp)
    publisher.keys.remember(repository.timestamp.signed.version)
