"""Files as the line wants them: written whole or not at all, and named by their content."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hazardline.errors import UserError

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_tree(root: Path) -> str:
    """Hex SHA-256 over the relative names and contents of all files below a folder, in name order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one JSON form of a value: sorted keys, no blanks, UTF-8. NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_json(value: Any) -> str:
    """Hex SHA-256 of the canonical JSON form of a value."""
    return sha256_bytes(canonical_json(value))


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_stream(path: Path) -> Iterator[BinaryIO]:
    """A stream to write a file piece by piece: it takes its name, flushed to the disk, when the block ends well.

    A reader sees the old content or the new one, also after a power cut; an error leaves the old content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _fsync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, also after a power cut."""
    with atomic_stream(path) as stream:
        stream.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, with a final newline."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write one canonical JSON document a line, atomically; returns the number of lines."""
    lines = [canonical_json(row) for row in rows]
    write_atomic(path, b"".join(line + b"\n" for line in lines))
    return len(lines)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def clear_when_full(named: str) -> Iterator[None]:
    """Turn a full disk into one line.

    Raises:
        UserError: there is no room, or a file is larger than this user or file system allows.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UserError(
            f"{error.filename or named}: no room to write ({error.strerror}); free some space and run again: what is "
            "whole is kept, nothing half-written stays"
        ) from None


def sync_tree(root: Path) -> None:
    """Flush every file and folder below a folder to the disk."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        elif path.is_dir():
            _fsync_folder(path)
    _fsync_folder(root)


@contextmanager
def folder_in_making(final: Path) -> Iterator[Path]:
    """A temporary folder beside `final` that takes its name only when the block ends without an error.

    Raises:
        FileExistsError: `final` exists already when the block ends.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
    try:
        yield making
        if final.exists():
            raise FileExistsError(f"{final} exists already")
        making.chmod(0o755)
        sync_tree(making)
        making.rename(final)
        _fsync_folder(final.parent)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def path_inside(root: Path, relative: str) -> Path | None:
    """The resolved path of `relative` below `root`, or None where it would leave the folder (also by a link)."""
    candidate = (root / relative).resolve()
    return candidate if candidate.is_relative_to(root.resolve()) else None
