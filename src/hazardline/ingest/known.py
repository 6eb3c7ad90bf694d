"""What was found out of contents: results of inspections by the SHA-256 of the file, in one SQLite file.

A result holds for the code and the decoder that found it; others are not seen, and are found out again.
"""

import time
import zlib
from pathlib import Path

from pydantic import TypeAdapter

from hazardline.cache_db import clear_errors, open_cache
from hazardline.ingest.inspection import Fault, Inspection

_SCHEMA = """
CREATE TABLE IF NOT EXISTS contents (
    sha256 TEXT NOT NULL, found_by TEXT NOT NULL, result BLOB NOT NULL, PRIMARY KEY (sha256, found_by)
)
"""
# Not WITHOUT ROWID: results of some kilobytes, ordered by digests, would be written and read all over the file.
_FLUSH_EVERY_S = 0.5
_RESULT: TypeAdapter[Inspection | Fault] = TypeAdapter(Inspection | Fault)


class KnownContents:
    """Results by content."""

    def __init__(self, path: Path, found_by: str) -> None:
        """Open the file.

        Args:
            path: the SQLite file.
            found_by: names the code and the decoder.

        Raises:
            UserError: it cannot be used.
        """
        self._path, self._found_by = path, found_by
        self._database = open_cache(path, _SCHEMA)
        self._unwritten: dict[str, bytes] = {}
        self._flushed_at_s = time.monotonic()

    def close(self) -> None:
        """Write what is still in memory, and close the file."""
        try:
            self.flush()
        finally:
            self._database.close()

    def get(self, sha256: str) -> Inspection | Fault | None:
        """What was found, or None."""
        query = "SELECT result FROM contents WHERE sha256 = ? AND found_by = ?"
        if sha256 in self._unwritten:
            self.flush()
        with clear_errors(self._path):
            row = self._database.execute(query, (sha256, self._found_by)).fetchone()
        return None if row is None else _RESULT.validate_json(zlib.decompress(row[0]))

    def has(self, sha256: str) -> bool:
        """Whether something was found."""
        query = "SELECT 1 FROM contents WHERE sha256 = ? AND found_by = ?"
        if sha256 in self._unwritten:
            return True
        with clear_errors(self._path):
            return self._database.execute(query, (sha256, self._found_by)).fetchone() is not None

    def keep(self, sha256: str, result: Inspection | Fault) -> None:
        """Remember a result; half a second's results go to the disk together."""
        self._unwritten[sha256] = zlib.compress(_RESULT.dump_json(result))
        if time.monotonic() - self._flushed_at_s > _FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what is still in memory; a process that is killed before loses no more than that."""
        rows = [(sha256, self._found_by, data) for sha256, data in self._unwritten.items()]
        with clear_errors(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")
        self._unwritten.clear()
        self._flushed_at_s = time.monotonic()
