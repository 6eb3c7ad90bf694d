"""What was found out of contents: results of inspections by the SHA-256 of the file, in one SQLite file.

A result holds for the code and the decoder that found it; others are not seen, and are found out again.
"""

import zlib
from pathlib import Path

from pydantic import TypeAdapter

from hazardline.cache_db import clear_errors, open_cache
from hazardline.ingest.inspection import Fault, Inspection

_SCHEMA = """
CREATE TABLE IF NOT EXISTS contents (
    sha256 TEXT NOT NULL, found_by TEXT NOT NULL, result BLOB NOT NULL, PRIMARY KEY (sha256, found_by)
) WITHOUT ROWID
"""
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

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get(self, sha256: str) -> Inspection | Fault | None:
        """What was found, or None."""
        query = "SELECT result FROM contents WHERE sha256 = ? AND found_by = ?"
        with clear_errors(self._path):
            row = self._database.execute(query, (sha256, self._found_by)).fetchone()
        return None if row is None else _RESULT.validate_json(zlib.decompress(row[0]))

    def has(self, sha256: str) -> bool:
        """Whether something was found."""
        query = "SELECT 1 FROM contents WHERE sha256 = ? AND found_by = ?"
        with clear_errors(self._path):
            return self._database.execute(query, (sha256, self._found_by)).fetchone() is not None

    def keep(self, sha256: str, result: Inspection | Fault) -> None:
        """Remember a result; it is on the disk when this returns, or will be after a power cut not be there at all."""
        data = zlib.compress(_RESULT.dump_json(result))
        with clear_errors(self._path):
            self._database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", (sha256, self._found_by, data))
