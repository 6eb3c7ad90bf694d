"""Exchange a signing key, so that devices that update meanwhile never see a repository that they cannot verify.

    targets, snapshot, timestamp    the next root trusts the old key and the new one; everything is signed with the
                                    new one; the root after that drops the old one
    model-<name>                    the delegation and what it signs change together, with the timestamp
    root-1 ...                      one root, signed by the two that stay

The old key signs nothing on the way, so that a lost one is exchanged as well. A new key waits as `<name>-next.pem`
until the repository trusts it. A rotation that was cut off is run again.
"""

from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root

from hazardline.errors import UserError
from hazardline.release.keys import ROOT_KEYS, ROOT_THRESHOLD, KeyFolder
from hazardline.release.publish import Publisher, open_committed, rotate_root

_RE_SIGNED = ("targets", "snapshot", "timestamp")
_MODEL = "model-"


class _SuccessorSigns(KeyFolder):
    """The same keys, but one name is answered with its successor."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        self._name = name

    def signer(self, name: str) -> CryptoSigner:
        return super().signer(successor_of(name) if name == self._name else name)


def successor_of(name: str) -> str:
    """Name of the key that waits to take this one's place."""
    return f"{name}-next"


def rotate_key(publisher: Publisher, name: str) -> None:
    """Exchange a key for a new one.

    Args:
        publisher: destination, keys, validity, clock.
        name: `root-1` and so on, `targets`, `snapshot`, `timestamp` or `model-<name>`.

    Raises:
        UserError: no such key, nothing was ever published, root keys that must sign are not here, or as in `publish`.
    """
    keys = publisher.keys
    if name not in (*ROOT_KEYS, *_RE_SIGNED) and not name.startswith(_MODEL):
        known = ", ".join((*ROOT_KEYS, *_RE_SIGNED, f"{_MODEL}NAME"))
        raise UserError(f"{name}: no such signing key; there are {known}")
    if not keys.root_path.exists():
        raise UserError(f"{keys.folder}: holds no root.json; nothing was ever published with the keys of this folder")
    if name.startswith(_MODEL):
        _exchange_model_key(publisher, name)
    elif name in ROOT_KEYS:
        signers = [other for other in ROOT_KEYS if other != name and keys.has(other)]
        new = _successor(keys, name)
        stay = [new.keyid, *(keys.public_key(other).keyid for other in signers)]
        _trust(publisher, "root", signers, add=[new], revoke=_others(keys, "root", stay))
    else:
        new = _successor(keys, name)
        _trust(publisher, name, _root_signers(keys), add=[new], revoke=[])
        _sign_anew(publisher, name)
    keys.promote(successor_of(name), name)
    if name in _RE_SIGNED:
        revoke = _others(keys, name, [keys.public_key(name).keyid])
        _trust(publisher, name, _root_signers(keys), add=[], revoke=revoke)


def _successor(keys: KeyFolder, name: str) -> Key:
    keys.generate([successor_of(name)])
    return keys.public_key(successor_of(name))


def _others(keys: KeyFolder, role: str, stay: list[str]) -> list[str]:
    """Ids of the keys that the root trusts with a role, but for those that stay."""
    return [key for key in _root(keys).roles[role].keyids if key not in stay]


def _trust(publisher: Publisher, role: str, signers: list[str], add: list[Key], revoke: list[str]) -> None:
    """Publish the next root, unless the present one says so already."""
    trusted = _root(publisher.keys).roles[role].keyids
    missing = [key for key in add if key.keyid not in trusted]
    present = [key for key in revoke if key in trusted]
    if missing or present:
        if len(signers) < ROOT_THRESHOLD:
            raise UserError(
                f"{publisher.keys.folder}: {ROOT_THRESHOLD} root keys must sign the next root, and only "
                f"{', '.join(signers) or 'none'} may and is here; bring the others back from where you keep them"
            )
        rotate_root(publisher, signers[:ROOT_THRESHOLD], {role: missing}, {role: present})


def _sign_anew(publisher: Publisher, name: str) -> None:
    with open_committed(_by_successor(publisher, name)) as repository:
        repository.changed |= {name} & {"targets"}


def _exchange_model_key(publisher: Publisher, role: str) -> None:
    with open_committed(_by_successor(publisher, role)) as repository:
        delegations = repository.targets.signed.delegations
        roles = (delegations.roles if delegations else None) or {}
        if delegations is None or role not in roles:
            raise UserError(f"{publisher.destination.address()}: knows no {role}; its key needs no exchange")
        new = _successor(publisher.keys, role)
        for key in roles[role].keyids:
            delegations.keys.pop(key, None)
        delegations.keys[new.keyid] = new
        roles[role].keyids = [new.keyid]
        repository.changed |= {"targets", role}


def _by_successor(publisher: Publisher, name: str) -> Publisher:
    keys = _SuccessorSigns(publisher.keys.folder, name)
    return Publisher(publisher.destination, keys, publisher.expiry, publisher.now)


def _root_signers(keys: KeyFolder) -> list[str]:
    return [name for name in ROOT_KEYS if keys.has(name)]


def _root(keys: KeyFolder) -> Root:
    return Metadata[Root].from_bytes(keys.root_path.read_bytes()).signed
