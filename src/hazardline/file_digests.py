"""SHA-256 of files that seldom change: a file whose size, times and inode are those of the last reading is not read.

As in Git's index, a file that was written within the last seconds is read again next time: a second change within the
clock's granularity would leave no trace.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from hazardline.cache_db import clear_errors, open_cache
from hazardline.files import sha256_file

_SCHEMA = "CREATE TABLE IF NOT EXISTS digests (place TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL)"
_YOUNG_S = 2.0
_FLUSH_EVERY_S = 0.5


class FileDigests:
    """Digests by absolute path, kept in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            UserError: it cannot be used.
        """
        self._path = path
        self._database = open_cache(path, _SCHEMA)
        self._unwritten: list[tuple[str, str, str]] = []
        self._flushed_at_s = time.monotonic()

    def close(self) -> None:
        """Write what is still in memory, and close the file."""
        try:
            self.flush()
        finally:
            self._database.close()

    def known(self, place: str, stamp: str) -> str | None:
        """The digest of a place that still has the stamp of its last reading, else None."""
        with clear_errors(self._path):
            row = self._database.execute("SELECT stamp, sha256 FROM digests WHERE place = ?", (place,)).fetchone()
        return row[1] if row is not None and row[0] == stamp else None

    def remember(self, place: str, stamp: str, sha256: str) -> None:
        """Keep what was read while the place had this stamp; half a second's digests go to the disk together."""
        self._unwritten.append((place, stamp, sha256))
        if time.monotonic() - self._flushed_at_s > _FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what is still in memory."""
        with clear_errors(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", self._unwritten)
            self._database.execute("COMMIT")
        self._unwritten.clear()
        self._flushed_at_s = time.monotonic()

    def sha256(self, path: Path) -> str:
        """Digest of a file, read only where it may have changed."""
        status = path.stat()
        place, stamp = str(path.absolute()), stamp_of(status)
        found = self.known(place, stamp)
        if found is None:
            found = sha256_file(path)
            if not is_young(status):
                self.remember(place, stamp, found)
        return found

    def sha256_tree(self, root: Path) -> str:
        """As `hazardline.files.sha256_tree`, in the memory of one folder's names."""
        digest = hashlib.sha256()
        for path in files_below(root):
            digest.update(f"{path.relative_to(root).as_posix()}\0{self.sha256(path)}\n".encode())
        return digest.hexdigest()


def files_below(root: Path) -> Iterator[Path]:
    """Every file below a folder, folder by folder in name order. Links to folders are not followed."""
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)


def stamp_of(status: os.stat_result) -> str:
    """What changes when a file changes: size, both times in nanoseconds, and inode."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def is_young(status: os.stat_result) -> bool:
    """Whether a file was written so lately that its stamp is no proof."""
    return time.time() - max(status.st_mtime, status.st_ctime) < _YOUNG_S
