"""Where a branch keeps its checkpoints: a folder, or a prefix of an S3 bucket.

A checkpoint is there whole or not at all. It is written under a name that nobody reads and committed by one atomic act:
the rename of a folder, or the object that names the uploaded files. A manifest holds the digest of every file, so a
damaged checkpoint is seen, and the one before it is used. Ray's own checkpoints are not used: an upload that is cut
off leaves a folder that looks like a checkpoint (docs/adr/0010).
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import path_inside, sha256_file, sync_tree
from hazardline.s3 import s3_client

MANIFEST_NAME = "manifest.json"
STEP_PREFIX = "step-"
FINAL_NAME = "final"
_MAKING = ".making-"
_REPLACED = ".replaced-"


class CheckpointWriteError(Exception):
    """A checkpoint could not be written; those before it are untouched."""


class DamagedCheckpointError(Exception):
    """A committed checkpoint is not what was written."""


class FileEntry(Document):
    """One file of a checkpoint."""

    sha256: str
    size_bytes: int


class Manifest(Document):
    """What a checkpoint consists of."""

    version: Literal["checkpoint@1"] = "checkpoint@1"
    files: dict[str, FileEntry]
    """By relative name."""
    upload: str | None = None
    """Where the files lie below an S3 checkpoint's name."""

    @classmethod
    def of(cls, folder: Path, upload: str | None = None) -> "Manifest":
        """Of a folder's files."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        entries = {
            path.relative_to(folder).as_posix(): FileEntry(sha256=sha256_file(path), size_bytes=path.stat().st_size)
            for path in paths
            if path.name != MANIFEST_NAME
        }
        return cls(files=entries, upload=upload)

    def check(self, folder: Path) -> None:
        """Compare a folder with it.

        Raises:
            DamagedCheckpointError: a file is missing, longer, shorter or changed.
        """
        for name, entry in self.files.items():
            path = path_inside(folder, name)
            if path is None or not path.is_file():
                raise DamagedCheckpointError(f"{name} is missing")
            if path.stat().st_size != entry.size_bytes or sha256_file(path) != entry.sha256:
                raise DamagedCheckpointError(f"{name} is not what was written")


class CheckpointStore(Protocol):
    """The checkpoints of one branch of one run, by name."""

    def names(self) -> list[str]:
        """Committed checkpoints, in the order of their names."""

    def commit(self, name: str, source: Path) -> None:
        """Keep a copy of a folder under a name; CheckpointWriteError where that fails."""

    def fetch(self, name: str) -> AbstractContextManager[Path]:
        """A committed checkpoint as a local folder for the length of a block; DamagedCheckpointError."""

    def remove(self, name: str) -> None:
        """Forget a checkpoint."""

    def sweep(self) -> list[str]:
        """Remove what was never committed; returns its names."""

    def clear(self) -> None:
        """Remove everything."""


def open_store(address: str) -> CheckpointStore:
    """The store at an address: a folder or `s3://bucket/prefix`.

    Raises:
        UserError: neither.
    """
    if address.startswith("s3://"):
        parts = urlsplit(address)
        if not parts.netloc:
            raise UserError(f"train.checkpoints: {address}: expected a folder or s3://bucket/prefix")
        return S3Store(parts.netloc, parts.path.strip("/"), s3_client(is_patient=True))
    if "://" in address:
        raise UserError(f"train.checkpoints: {address}: expected a folder or s3://bucket/prefix")
    return FolderStore(Path(address))


def newest(store: CheckpointStore, prefix: str, load: Callable[[Path], None], say: Callable[[str], None]) -> str | None:
    """Load the newest checkpoint that is whole; a damaged one is removed and said.

    Args:
        store: of the branch.
        prefix: names that do not begin with it are passed over.
        load: given the folder; may raise DamagedCheckpointError before it has changed anything.
        say: told of every damaged one.

    Returns:
        Its name; None where there is none.
    """
    for name in reversed([name for name in store.names() if name.startswith(prefix)]):
        try:
            with store.fetch(name) as folder:
                load(folder)
        except DamagedCheckpointError as error:
            say(f"checkpoint {name} is damaged ({error}) and was removed; the one before it is used")
            store.remove(name)
        else:
            return name
    return None


def step_name(step: int) -> str:
    """Name of the checkpoint of a step; names sort as steps do."""
    return f"{STEP_PREFIX}{step:08d}"


class FolderStore:
    """Checkpoints as folders below one folder."""

    def __init__(self, root: Path) -> None:
        """Refer to a folder, which need not exist."""
        self._root = root

    def names(self) -> list[str]:
        """Folders with a manifest."""
        return sorted(path.parent.name for path in self._root.glob(f"[!.]*/{MANIFEST_NAME}"))

    def commit(self, name: str, source: Path) -> None:
        """Copy, flush, rename."""
        making = self._root / f"{_MAKING}{name}-{uuid.uuid4().hex[:8]}"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, making)
            Manifest.of(making).write(making / MANIFEST_NAME)
            sync_tree(making)
            self._put_in_place(making, name)
        except OSError as error:
            shutil.rmtree(making, ignore_errors=True)
            raise CheckpointWriteError(f"{self._root / name}: {os.strerror(error.errno or 0)}") from error

    def _put_in_place(self, making: Path, name: str) -> None:
        target, replaced = self._root / name, self._root / f"{_REPLACED}{name}"
        if target.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            target.rename(replaced)
        making.rename(target)
        handle = os.open(self._root, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        shutil.rmtree(replaced, ignore_errors=True)

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """The folder itself, checked."""
        folder = self._root / name
        try:
            Manifest.read(folder / MANIFEST_NAME).check(folder)
        except UserError as error:
            raise DamagedCheckpointError(str(error)) from None
        yield folder

    def remove(self, name: str) -> None:
        """Take the name away first, so that half a checkpoint is never seen."""
        gone = self._root / f"{_REPLACED}{name}"
        shutil.rmtree(gone, ignore_errors=True)
        (self._root / name).rename(gone)
        shutil.rmtree(gone)

    def sweep(self) -> list[str]:
        """Remove folders in the making and folders that lost their manifest."""
        if not self._root.is_dir():
            return []
        known = set(self.names())
        left = sorted(path for path in self._root.iterdir() if path.is_dir() and path.name not in known)
        for path in left:
            shutil.rmtree(path)
        return [path.name for path in left]

    def clear(self) -> None:
        """Remove the folder, and the one around it when it is the last there."""
        shutil.rmtree(self._root, ignore_errors=True)
        with suppress(OSError):  # not empty: another branch's checkpoints are there
            self._root.parent.rmdir()


class S3Store:
    """Checkpoints below a prefix of a bucket; the manifest object is what commits one."""

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        """Refer to a prefix, which need not exist."""
        self._bucket, self._prefix, self._client = bucket, prefix, client

    def _key(self, *parts: str) -> str:
        return "/".join(part for part in (self._prefix, *parts) if part)

    def _keys(self, *parts: str) -> list[str]:
        prefix = self._key(*parts) + "/"
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]

    def names(self) -> list[str]:
        """Names with a manifest."""
        return sorted(
            key.removesuffix(f"/{MANIFEST_NAME}")
            for key in self._keys()
            if key.count("/") == 1 and MANIFEST_NAME in key
        )

    def commit(self, name: str, source: Path) -> None:
        """Upload the files under a fresh name, then the manifest that points to them."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        manifest = Manifest.of(source, uuid.uuid4().hex[:12])
        assert manifest.upload is not None
        try:
            for file in manifest.files:
                self._client.upload_file(str(source / file), self._bucket, self._key(name, manifest.upload, file))
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(name, MANIFEST_NAME), Body=manifest.model_dump_json().encode()
            )
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise CheckpointWriteError(f"s3://{self._bucket}/{self._key(name)}: {error}") from error
        self._remove_uploads(name, manifest.upload)

    def _manifest(self, name: str) -> Manifest:
        body = self._client.get_object(Bucket=self._bucket, Key=self._key(name, MANIFEST_NAME))["Body"].read()
        try:
            return Manifest.parse_json(body.decode(errors="replace"), MANIFEST_NAME)
        except UserError as error:
            raise DamagedCheckpointError(str(error)) from None

    def _remove_uploads(self, name: str, kept: str | None) -> list[str]:
        gone = [key for key in self._keys(name) if key != MANIFEST_NAME and key.partition("/")[0] != kept]
        for key in gone:
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name, key))
        return gone

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """Download into a temporary folder and check."""
        from botocore.exceptions import ClientError

        with tempfile.TemporaryDirectory(prefix="hazardline-checkpoint-") as work:
            folder, manifest = Path(work), self._manifest(name)
            for file in manifest.files:
                path = path_inside(folder, file)
                if path is None:
                    raise DamagedCheckpointError(f"{file} lies outside of the checkpoint")
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._client.download_file(self._bucket, self._key(name, manifest.upload or "", file), str(path))
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code") not in ("404", "NoSuchKey"):
                        raise
                    raise DamagedCheckpointError(f"{file} is missing") from None
            manifest.check(folder)
            yield folder

    def remove(self, name: str) -> None:
        """The manifest first, then the files."""
        self._client.delete_object(Bucket=self._bucket, Key=self._key(name, MANIFEST_NAME))
        self._remove_uploads(name, None)

    def sweep(self) -> list[str]:
        """Remove files that no manifest points to."""
        left = []
        known = set(self.names())
        for name in sorted({key.partition("/")[0] for key in self._keys()}):
            try:
                kept = self._manifest(name).upload if name in known else None
            except DamagedCheckpointError:
                kept = None
            if self._remove_uploads(name, kept):
                left.append(name)
        return left

    def clear(self) -> None:
        """Remove every object of the prefix, manifests first."""
        for name in self.names():
            self.remove(name)
        self.sweep()
