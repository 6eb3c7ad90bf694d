"""The folder of signing keys: one file a key, readable by its owner alone, and never inside what is published.

    README.md         says what this folder is
    root-1.pem ...    two of three sign the root; after the first release they belong on media that are not attached
    targets.pem       signs which models exist; needed for a new model, and to renew
    model-<name>.pem  signs the releases of one model
    snapshot.pem, timestamp.pem
    root.json         the newest root that this publisher trusts (public)
    published.json    the newest timestamp that this publisher wrote (public)

A Secret that Kubernetes has mounted is such a folder as well: read only, with modes that are the mount's. What is noted
lies below the hazardline home then, which a pod mostly finds empty (docs/adr/0024 says what that means).
Knows nothing of what is signed.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Key

from hazardline import environment
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import write_atomic

ROOT_KEYS = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD = 2
_ROOT_NAME = "root.json"
_IN_A_POD = "KUBERNETES_SERVICE_HOST"
"""Kubernetes gives it to every container."""
_README = """# Demonstration signing keys: not for production

Whoever holds these files can make every device that trusts this root run any model.
They were made by the release stage so that the line can be tried out, and they lie here unencrypted.

- Never copy this folder into a repository, a container image, an artifact store or a bucket.
- `root-*.pem` and `targets.pem` sign rarely. Move them to media that are not attached to this machine: releases of a
  model that is already known go on without them, until the root or the targets role is to be renewed.
- For production, make keys in a hardware module, and let `root.json` name those.
- Lost keys cannot be replaced while fewer than two root keys are left: devices must then be provisioned anew.
"""


class PublisherMemory(Document):
    """The newest state that this publisher has committed: a repository that shows an older one was tampered with."""

    timestamp_version: int


class KeyFolder:
    """Signing keys by name, in a folder."""

    def __init__(self, folder: Path) -> None:
        """Refer to a folder, which need not exist yet."""
        self.folder = folder

    @property
    def is_mounted(self) -> bool:
        """Whether this is a pod, and the folder a read-only file system of its own, as a mounted Secret is.

        Nobody can change its modes then, and only the container that it was mounted for sees it.
        """
        if _IN_A_POD not in os.environ or not self.folder.is_mount():
            return False
        return bool(os.statvfs(self.folder).f_flag & os.ST_RDONLY)

    @property
    def root_path(self) -> Path:
        """The newest root metadata that this publisher trusts."""
        noted = self._notes() / _ROOT_NAME
        return noted if noted.exists() else self.folder / _ROOT_NAME

    @property
    def memory_path(self) -> Path:
        """What this publisher wrote last."""
        return self._notes() / "published.json"

    def _notes(self) -> Path:
        """Folder of what is not secret and changes."""
        if not self.is_mounted:
            return self.folder
        folder = self.folder.absolute()
        return environment.home() / "publisher" / folder.relative_to(folder.anchor)

    def prepare(self) -> None:
        """Make the folder, for its owner alone, with its warning and a rule that keeps it out of git.

        Raises:
            UserError: the folder exists and others may read it.
        """
        if self.is_mounted:
            return
        if not self.folder.exists():
            self.folder.mkdir(parents=True, mode=0o700)
            write_atomic(self.folder / ".gitignore", b"*\n")
            write_atomic(self.folder / "README.md", _README.encode())
        mode = stat.S_IMODE(self.folder.stat().st_mode)
        if mode & 0o077:
            raise UserError(
                f"{self.folder}: the folder of signing keys has mode {mode:04o}, expected 0700; run chmod 700 on it"
            )

    def generate(self, names: Iterable[str]) -> None:
        """Make the ed25519 keys of these names that do not exist yet.

        Raises:
            UserError: one is missing where the folder is mounted read only.
        """
        for name in names:
            if self._path(name).exists():
                continue
            if self.is_mounted:
                raise UserError(
                    f"{self.folder}: holds no {name}.pem, and is mounted read only, so that none can be made in it; "
                    "run `hazardline release init` where the signing keys are kept, and make the Secret anew"
                )
            self._write(name, CryptoSigner.generate_ed25519().private_bytes)

    def promote(self, successor: str, name: str) -> None:
        """Let a key take the place of another, which is gone then."""
        self._path(successor).replace(self._path(name))

    def has(self, name: str) -> bool:
        """Whether the key is here (root keys may be kept elsewhere)."""
        return self._path(name).exists()

    def signer(self, name: str) -> CryptoSigner:
        """The signer of a key.

        Raises:
            UserError: the key is not here, others may read it, or it is not an unencrypted PEM key.
        """
        path = self._path(name)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path}: the signing key cannot be read ({error.strerror}); put it back, or name the folder that "
                "holds it (release.keys)"
            ) from None
        if mode & 0o077 and not self.is_mounted:
            raise UserError(f"{path}: the signing key has mode {mode:04o}, expected 0600; run chmod 600 on it")
        try:
            return CryptoSigner(load_pem_private_key(data, password=None))
        except (ValueError, TypeError):
            # The library's message is left out: it may quote the file.
            raise UserError(f"{path}: is not an unencrypted private key in PEM form") from None

    def public_key(self, name: str) -> Key:
        """The public half of a key; errors as in `signer`."""
        return self.signer(name).public_key

    def trust(self, root: bytes) -> None:
        """Note the newest root metadata."""
        write_atomic(self._notes() / _ROOT_NAME, root)

    def remember(self, timestamp_version: int) -> None:
        """Note the timestamp version that was just committed."""
        PublisherMemory(timestamp_version=timestamp_version).write(self.memory_path)

    def remembered(self) -> int:
        """Timestamp version that this publisher committed last; 0 if it never did."""
        if not self.memory_path.exists():
            return 0
        return PublisherMemory.read(self.memory_path).timestamp_version

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def _write(self, name: str, pem: bytes) -> None:
        # Not files.write_atomic: that one ends with a file that everyone may read.
        making = self.folder / f".{name}.pem.{os.getpid()}.tmp"
        handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        making.rename(self._path(name))
