"""SQLite files that remember what would be slow to find out again.

They are caches and nothing else: one that is damaged is set aside and begun anew. Several processes may use one at a
time, on a disk of this machine (SQLite's locks do not hold on most network file systems).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hazardline.errors import UserError

_BUSY_TIMEOUT_S = 120.0


def open_cache(path: Path, schema: str) -> sqlite3.Connection:
    """Open a cache, or create it; what is damaged is renamed to `<name>.damaged`.

    Args:
        path: the file; its folder is made.
        schema: statements of the form CREATE TABLE IF NOT EXISTS.

    Raises:
        UserError: the file cannot be written.
    """
    with clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _opened(path, schema)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            for suffix in ("", "-wal", "-shm"):
                part = path.with_name(path.name + suffix)
                if part.exists():
                    part.rename(path.with_name(f"{path.name}{suffix}.damaged"))
            return _opened(path, schema)


def _opened(path: Path, schema: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.executescript(schema)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk say into one line that names the file.

    Raises:
        UserError: a full disk, no right to write, another process that holds the file for minutes.
    """
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise UserError(
            f"{path}: cannot be used ({error}); see that the disk has room and that the file may be written"
        ) from None
