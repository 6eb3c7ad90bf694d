"""The content-addressed store: one folder an output, named by everything that the output depends on.

    <store>/<stage>/<key>/record.json     what was made, of what, at what cost
    <store>/<stage>/<key>/output/         the stage's files
    <store>/<stage>/<key>/partial         in place of the record: only some files are here (`mirror.clips`)
    <store>/<stage>/.making-<key>/        being made, or left by a run that was killed
    <store>/locks/<stage>-<key>.lock      held by whoever makes that output

An output appears under its name whole (written, flushed, renamed) or not at all. Locks are POSIX record locks:
the kernel drops them with the process that took them, and child processes do not inherit them, so a held lock means
a living maker.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import digest_json, sha256_file, sync_tree

RECORD_NAME = "record.json"
_OUTPUT = "output"
_PARTIAL = "partial"
_MAKING = ".making-"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StoredFile(Document):
    """One file of an output."""

    size_bytes: int
    sha256: Sha256


class StageRecord(Document):
    """What passes from stage to stage: where an output lies, what it is, and what it took to make it."""

    version: Literal["stage-record@1"] = "stage-record@1"
    stage: str
    key: Sha256
    """Digest of everything that the output depends on; see `stage_runner.cache_key`."""
    uri: str
    """`file://` address of the output folder."""
    content_digest: Sha256
    """Digest of the names and contents of the output's files."""
    cached: bool
    """Whether this run found the output in the store."""
    wall_s: float
    """Seconds that this run spent on the stage."""
    peak_rss_mb: float
    """Largest sum of resident memory over the stage's process tree, in MB (10^6 bytes). Pages that processes share
    count once for each of them, so the true figure is a little lower."""
    made_wall_s: float
    """Seconds that it took to make the output, in whichever run that was."""
    summary: dict[str, Any]
    """What the stage says of its output."""
    inputs: dict[str, Sha256]
    """Upstream stage to the digest of its output."""
    files: dict[str, StoredFile]
    """Relative path to size and digest, for every file of the output."""

    @property
    def output(self) -> Path:
        """The output folder."""
        return Path(unquote(urlsplit(self.uri).path))

    @property
    def name(self) -> str:
        """The output's name in the store: its key, or its key and a mark of the run."""
        return self.output.parent.name

    def metadata(self) -> dict[str, str | int | float | bool]:
        """What a pipeline's user interface shows of the output: digest, cost, and the summary's plain values."""
        plain = {name: value for name, value in self.summary.items() if isinstance(value, str | int | float | bool)}
        return {
            **plain,
            "stage": self.stage,
            "store_uri": self.uri,
            "content_digest": self.content_digest,
            "cached": self.cached,
            "num_files": len(self.files),
            "wall_s": self.wall_s,
            "peak_rss_mb": self.peak_rss_mb,
        }


def describe_files(output: Path) -> dict[str, StoredFile]:
    """Size and digest of every file below a folder, by relative path.

    Raises:
        ValueError: a link, a pipe or the like: an output is plain files and folders.
    """
    found = {}
    for path in sorted(output.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path}: an output may hold plain files and folders only")
        if path.is_file():
            found[path.relative_to(output).as_posix()] = StoredFile(
                size_bytes=path.stat().st_size, sha256=sha256_file(path)
            )
    return found


def output_digest(files: dict[str, StoredFile]) -> str:
    """Digest of an output's names and contents."""
    return digest_json({name: file.sha256 for name, file in files.items()})


class Store:
    """Outputs by stage and key, below one folder."""

    def __init__(self, root: Path) -> None:
        """Use a folder, which need not exist yet."""
        self.root = root.absolute()

    def folder(self, stage: str, name: str) -> Path:
        """Where an output lies once it is whole. `name` is its key, or its key and a mark of the run."""
        return self.root / stage / name

    def output(self, stage: str, name: str) -> Path:
        """Folder of an output's files."""
        return self.folder(stage, name) / _OUTPUT

    @contextmanager
    def lock(self, stage: str, name: str) -> Iterator[bool]:
        """Hold the right to make an output, after waiting for whoever has it.

        Yields:
            Whether there was another holder to wait for.
        """
        handle = self._open_lock(stage, name)
        try:
            waited = not _try_lock(handle)
            if waited:
                fcntl.lockf(handle, fcntl.LOCK_EX)
            yield waited
        finally:
            os.close(handle)

    def _open_lock(self, stage: str, name: str) -> int:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / f"{stage}-{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)

    def find(self, stage: str, name: str, check_contents: bool = False) -> StageRecord | None:
        """The record of a whole output, or None where there is none.

        Args:
            stage: the stage.
            name: the output's name.
            check_contents: compare digests of the files, not their sizes only.

        Raises:
            DamagedError: there is one, and it is not what was put there.
        """
        folder = self.folder(stage, name)
        if not folder.exists() or (folder / _PARTIAL).exists():
            return None
        try:
            record = StageRecord.read(folder / RECORD_NAME)
        except UserError as error:
            raise DamagedError(str(error)) from None
        _check(folder / _OUTPUT, record, check_contents)
        return record

    @contextmanager
    def making(self, stage: str, name: str) -> Iterator[Path]:
        """An empty folder to write an output into; `keep` gives it its name, and without that it is removed.

        The caller holds the output's lock.
        """
        making = self._making(stage, name)
        shutil.rmtree(making, ignore_errors=True)
        output = making / _OUTPUT
        output.mkdir(parents=True)
        try:
            yield output
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def keep(self, stage: str, name: str, record: StageRecord) -> None:
        """Give the output that was made in `making` its name, with its record beside it, safe against a power cut."""
        making = self._making(stage, name)
        record.write(making / RECORD_NAME)
        sync_tree(making)
        if (self.folder(stage, name) / _PARTIAL).exists():
            self._discard(self.folder(stage, name), self._making(stage, f"{name}-partial"))
        making.rename(self.folder(stage, name))
        handle = os.open(self.root / stage, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, stage: str, name: str) -> None:
        """Remove an output (out of sight first, so that no reader sees half of it). The caller holds its lock."""
        self._discard(self.folder(stage, name), self._making(stage, name))

    def _discard(self, folder: Path, making: Path) -> None:
        shutil.rmtree(making, ignore_errors=True)
        folder.rename(making)
        shutil.rmtree(making)

    def make_partial(self, stage: str, name: str) -> None:
        """Prepare the folder of an output that is not here for single files of it. The caller holds its lock."""
        folder = self.folder(stage, name)
        if not (folder / RECORD_NAME).exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _PARTIAL).touch()

    def sweep(self) -> list[Path]:
        """Remove what killed runs left behind; returns the folders that were removed.

        Not while this process holds a lock of the store: the kernel would not count it as another's.
        """
        removed = []
        for making in sorted(self.root.glob(f"*/{_MAKING}*")):
            stage, name = making.parent.name, making.name.removeprefix(_MAKING)
            handle = self._open_lock(stage, name)
            try:
                if _try_lock(handle):
                    shutil.rmtree(making, ignore_errors=True)
                    removed.append(making)
            finally:
                os.close(handle)
        return removed

    def _making(self, stage: str, name: str) -> Path:
        return self.root / stage / f"{_MAKING}{name}"


class DamagedError(Exception):
    """A stored output is not what was put there; the message says where it differs."""


def _try_lock(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _check(output: Path, record: StageRecord, check_contents: bool) -> None:
    present = {path.relative_to(output).as_posix() for path in output.rglob("*") if not path.is_dir()}
    if present != set(record.files):
        differing = sorted(present ^ set(record.files))
        raise DamagedError(f"{output}: {differing[0]} is missing or was not made by the stage")
    for name, file in record.files.items():
        size_bytes = (output / name).stat().st_size
        if size_bytes != file.size_bytes:
            raise DamagedError(f"{output / name}: holds {size_bytes} bytes, {file.size_bytes} were written")
        if check_contents and sha256_file(output / name) != file.sha256:
            raise DamagedError(f"{output / name}: its contents are not those that were written")
