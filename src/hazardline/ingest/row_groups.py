"""Rows collected under keys, on disk: what belongs together in an annotation need not stand together in its files."""

import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from hazardline.errors import UserError

_CACHE_KIB = 16 << 10


class RowGroups:
    """Texts by key, in a SQLite file that goes when the block ends; the memory does not grow with their number."""

    def __enter__(self) -> Self:
        """Make the file, below the system's folder for temporary files."""
        self._folder = tempfile.TemporaryDirectory(prefix="hazardline-")
        self._database = sqlite3.connect(Path(self._folder.name) / "rows.sqlite", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "CREATE TABLE keys (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, taken INTEGER DEFAULT 0)",
            "CREATE TABLE rows (number INTEGER, place INTEGER, row TEXT, PRIMARY KEY (number, place)) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)
        self._place = 0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the file.

        Raises:
            UserError: SQLite failed within the block, as a full disk makes it.
        """
        self._database.close()
        self._folder.cleanup()
        if isinstance(error, sqlite3.Error):
            place = tempfile.gettempdir()
            raise UserError(f"{place}: rows cannot be kept there ({error}); make room, or set TMPDIR") from error

    def add(self, key: str, row: str) -> None:
        """Put a row at the end of its group."""
        self._database.execute("INSERT OR IGNORE INTO keys (key) VALUES (?)", (key,))
        self._place += 1
        self._database.execute("INSERT INTO rows SELECT number, ?, ? FROM keys WHERE key = ?", (self._place, row, key))

    def groups(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Groups in the order of their first rows, each to be read before the next is asked for."""
        found = self._database.execute(
            "SELECT keys.number, key, row FROM keys JOIN rows USING (number) ORDER BY keys.number, place"
        )
        for (_, key), members in groupby(found, key=lambda member: (member[0], member[1])):
            yield key, (row for _, _, row in members)

    def rows_of(self, key: str) -> list[str]:
        """The rows of one group; none where nothing was added under the key."""
        found = self._database.execute(
            "SELECT row FROM keys JOIN rows USING (number) WHERE key = ? ORDER BY place", (key,)
        )
        return [row for (row,) in found]

    def take(self, key: str) -> bool:
        """Mark a group as used; True the first time, False where it is used already or unknown."""
        return self._database.execute("UPDATE keys SET taken = 1 WHERE key = ? AND NOT taken", (key,)).rowcount == 1

    def left(self) -> Iterator[tuple[str, str]]:
        """Key and row of everything that was not taken."""
        yield from self._database.execute(
            "SELECT key, row FROM keys JOIN rows USING (number) WHERE NOT taken ORDER BY keys.number, place"
        )
