"""Data sets by version, and the clips that lie nowhere else: one folder, shared by all runs of a machine or a cluster.

    <store>/versions/<id>/{version.json, scenes.parquet, ...}   one state of a data set; never changed
    <store>/heads/<name>.json                                   the newest version of a data set
    <store>/media/<ab>/<sha256>.<suffix>                        fetched from S3, or made of a folder of frames
    <store>/known.sqlite, digests.sqlite                        caches: what was found out of files

With a mirror (`hazardline.mirror`), versions and heads are shared through it, and its heads are the ones that count:

    <mirror>/datasets/versions/<id>.json    the version; its files are objects of the mirror
    <mirror>/datasets/heads/<name>.json

Clips get there with the outputs that name them. The caches stay on their machine (docs/adr/0020).

Everything appears whole under its name or not at all. A version is renamed into its place and then becomes the head:
who is killed between the two leaves a version that no head names, and the next ingest makes it the head.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from hazardline.datasets.document import DatasetName, DatasetVersion
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import folder_in_making, path_inside, sha256_file, write_atomic
from hazardline.mirror.objects import Content, DamagedObjectError, Mirror, open_mirror
from hazardline.progress import SilentReporter
from hazardline.store import Sha256

VERSION_NAME = "version.json"
_STALE_S = 24 * 3600.0


class Head(Document):
    """Which version of a data set is the newest."""

    version: Literal["head@1"] = "head@1"
    name: DatasetName
    version_id: Sha256


class DatasetStore:
    """Versions, heads and media below one folder."""

    def __init__(self, root: Path) -> None:
        """Use a folder, which need not exist yet."""
        self.root = root.absolute()

    @property
    def known_path(self) -> Path:
        """The cache of what was found in contents."""
        return self.root / "known.sqlite"

    def version_folder(self, version_id: str) -> Path:
        """Where a version lies."""
        return self.root / "versions" / version_id

    def head_path(self, name: str) -> Path:
        """The document that names the newest version of a data set."""
        return self.root / "heads" / f"{name}.json"

    def head(self, name: str) -> DatasetVersion | None:
        """The newest version of a data set, or None where there is none yet.

        Raises:
            UserError: the head, or the version that it names, cannot be read.
        """
        path, mirror = self.head_path(name), open_mirror()
        shared = None if mirror is None else mirror.document(_shared_head(name), Head)
        if shared is not None:
            return self.version(shared.version_id)
        if not path.exists():
            return None
        version = self.version(Head.read(path).version_id)
        if mirror is not None:  # it is older than its mirror
            self._share(version, mirror)
        return version

    def version(self, version_id: str) -> DatasetVersion:
        """The document of a version, which is fetched first where only the mirror has it.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        if not self.version_folder(version_id).exists():
            self._fetch(version_id)
        return DatasetVersion.read(self.version_folder(version_id) / VERSION_NAME)

    def has_version(self, version_id: str) -> bool:
        """Whether a version is here or in the mirror."""
        if self.version_folder(version_id).is_dir():
            return True
        mirror = open_mirror()
        return mirror is not None and mirror.document(_shared_version(version_id), DatasetVersion) is not None

    def _fetch(self, version_id: str) -> None:
        """Take a version out of the mirror, if it has it."""
        mirror = open_mirror()
        version = None if mirror is None else mirror.document(_shared_version(version_id), DatasetVersion)
        if mirror is None or version is None:
            return
        with suppress(FileExistsError), folder_in_making(self.version_folder(version_id)) as making:
            contents = [Content(_inside(making, name), file.sha256) for name, file in version.files.items()]
            try:
                mirror.fetch(contents, SilentReporter(), f"data set {version.name}")
            except DamagedObjectError as error:
                raise UserError(
                    f"data set {version.name}: version {version_id} is not whole in the mirror: {error}; restore it "
                    f"from a backup, or remove {mirror.address(_shared_head(version.name))} to begin a new history"
                ) from None
            version.write(making / VERSION_NAME)
            _protect(making)

    def _share(self, version: DatasetVersion, mirror: Mirror) -> None:
        """Put a version into the mirror, after those before it that are not there, and make it the head there."""
        for unshared in reversed(self._unshared(version, mirror)):
            folder = self.version_folder(unshared.version_id)
            contents = [Content(folder / name, file.sha256) for name, file in unshared.files.items()]
            mirror.put(contents, SilentReporter(), f"data set {version.name}")
            mirror.put_document(_shared_version(unshared.version_id), unshared)
        mirror.put_document(_shared_head(version.name), Head(name=version.name, version_id=version.version_id))

    def _unshared(self, version: DatasetVersion, mirror: Mirror) -> list[DatasetVersion]:
        """A version and those before it, newest first, up to one that is in the mirror or is not here."""
        found = [version]
        while (parent := found[-1].parent) is not None and self.version_folder(parent).exists():
            if mirror.document(_shared_version(parent), DatasetVersion) is not None:
                break
            found.append(self.version(parent))
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the right to give a data set a new version, after waiting for whoever has it."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def add(self, version: DatasetVersion, files: Mapping[str, Path], texts: Mapping[str, bytes]) -> None:
        """Keep a version and make it the head. The caller holds the data set's lock.

        Args:
            version: the document; its `files` describe what is given here.
            files: copied into the version's folder under their names.
            texts: written there under their names.
        """
        folder = self.version_folder(version.version_id)
        if not (folder / VERSION_NAME).exists():
            with folder_in_making(folder) as making:
                for name, path in files.items():
                    shutil.copyfile(path, making / name)
                for name, text in texts.items():
                    (making / name).write_bytes(text)
                version.write(making / VERSION_NAME)
                _protect(making)
        Head(name=version.name, version_id=version.version_id).write(self.head_path(version.name))
        mirror = open_mirror()
        if mirror is not None:
            self._share(self.version(version.version_id), mirror)

    def media_path(self, sha256: str, suffix: str) -> Path:
        """Where a file of this content lies, if the store has it."""
        return self.root / "media" / sha256[:2] / f"{sha256}{suffix}"

    @contextmanager
    def new_media(self) -> Iterator[Path]:
        """The path of a temporary file to write, for `keep_media`; what is left of it is removed."""
        folder = self.root / "media"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new.", suffix=".tmp", dir=folder)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def keep_media(self, new: Path, suffix: str) -> tuple[Path, str]:
        """Give a whole file its name; returns its place and its digest. The same content is kept once."""
        digest = sha256_file(new)
        path = self.media_path(digest, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("rb") as stream:
            os.fsync(stream.fileno())
        new.chmod(0o444)
        new.replace(path)
        return path, digest

    def keep_bytes(self, content: bytes, sha256: str, suffix: str) -> Path:
        """Keep bytes that are in memory already."""
        path = self.media_path(sha256, suffix)
        if not path.exists():
            write_atomic(path, content)
        return path

    def sweep(self, now_s: float) -> list[Path]:
        """Remove temporary files and folders of ingests that were killed more than a day ago; returns them."""
        removed = []
        for left in self.leftovers():
            try:
                if now_s - left.stat().st_mtime < _STALE_S:
                    continue
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            except FileNotFoundError:  # another ingest was faster
                continue
            removed.append(left)
        return removed

    def leftovers(self) -> list[Path]:
        """Temporary files and folders: of ingests at work, or of such as were killed."""
        patterns = ("media/.*.tmp", "media/??/.*.tmp", "versions/.*.tmp", "heads/.*.tmp", "work/*")
        return sorted(path for pattern in patterns for path in self.root.glob(pattern))


def _shared_version(version_id: str) -> str:
    return f"datasets/versions/{version_id}.json"


def _shared_head(name: str) -> str:
    return f"datasets/heads/{name}.json"


def _protect(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)


def _inside(folder: Path, name: str) -> Path:
    path = path_inside(folder, name)
    if path is None:
        raise UserError(f"{folder}: a version names the file {name!r}, which lies outside of it")
    return path
