"""The books of one ingest: candidates, their media and problems, in an SQLite file, so that memory stays flat.

They are thrown away when the stage is done. What was found out of media is kept elsewhere (`known`, `file_digests`).
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hazardline.cache_db import clear_errors
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.inspection import Fault
from hazardline.ingest.place import Media

_SCHEMA = """
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
CREATE TABLE media (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, media TEXT NOT NULL,
    path TEXT, sha256 TEXT, fault TEXT, is_done INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE candidates (
    seq INTEGER PRIMARY KEY, clip_id TEXT NOT NULL UNIQUE, origin TEXT NOT NULL, candidate TEXT NOT NULL,
    media INTEGER NOT NULL, is_usable INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE problems (
    seq INTEGER PRIMARY KEY, clip_id TEXT NOT NULL, video TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE usable (sha256 TEXT PRIMARY KEY, clip_id TEXT NOT NULL) WITHOUT ROWID;
"""
_CANDIDATE = TypeAdapter(Candidate)
_FETCHED_ROWS = 256


@dataclass(frozen=True)
class Pending:
    """Media that somebody has to look at."""

    number: int
    media: Media


@dataclass(frozen=True)
class Seen:
    """A candidate, and its file or what is wrong with it."""

    candidate: Candidate
    path: Path
    sha256: str
    fault: Fault | None


class Work:
    """The books, in a file of this ingest alone."""

    def __init__(self, path: Path) -> None:
        """Begin new books.

        Raises:
            UserError: the file cannot be written.
        """
        self.path = path
        with clear_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.executescript(_SCHEMA)
            self._database.execute("BEGIN")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def origin_of(self, clip_id: str) -> str | None:
        """Where the candidate of this id stands, if there is one."""
        row = self._database.execute("SELECT origin FROM candidates WHERE clip_id = ?", (clip_id,)).fetchone()
        return None if row is None else str(row[0])

    def add_candidate(self, candidate: Candidate, media: Media) -> None:
        """Write down a candidate; its id is new."""
        with clear_errors(self.path):
            self._database.execute(
                "INSERT OR IGNORE INTO media (key, media) VALUES (?, ?)", (media.key, json.dumps(vars(media)))
            )
            (number,) = self._database.execute("SELECT id FROM media WHERE key = ?", (media.key,)).fetchone()
            text = _CANDIDATE.dump_json(candidate).decode()
            self._database.execute(
                "INSERT INTO candidates (clip_id, origin, candidate, media) VALUES (?, ?, ?, ?)",
                (candidate.clip_id, candidate.origin, text, number),
            )

    def add_problem(self, problem: Problem) -> None:
        """Write down what cannot be used."""
        with clear_errors(self.path):
            self._database.execute(
                "INSERT INTO problems (clip_id, video, reason, detail) VALUES (?, ?, ?, ?)",
                (problem.clip_id, problem.video, problem.reason, problem.detail),
            )

    def media(self) -> Iterator[Pending]:
        """Media that nothing is known of yet, in the order of the data set."""
        query = "SELECT id, media FROM media WHERE id > ? AND is_done = 0 ORDER BY id LIMIT ?"
        last = -1
        while rows := self._database.execute(query, (last, _FETCHED_ROWS)).fetchall():
            for number, text in rows:
                last = number
                yield Pending(number, Media(**json.loads(text)))

    def learn(self, number: int, media: Media) -> None:
        """Write down more of media."""
        with clear_errors(self.path):
            self._database.execute("UPDATE media SET media = ? WHERE id = ?", (json.dumps(vars(media)), number))

    def settle(self, number: int, path: str, sha256: str, fault: Fault | None = None) -> None:
        """Write down where the file of media lies and what it is, or what is wrong with it."""
        text = None if fault is None else json.dumps(vars(fault))
        with clear_errors(self.path):
            self._database.execute(
                "UPDATE media SET path = ?, sha256 = ?, fault = ?, is_done = 1 WHERE id = ?",
                (path, sha256, text, number),
            )

    def seen(self) -> Iterator[Seen]:
        """All candidates whose media were examined, in the order of the data set."""
        return self._joined("c.seq > ?", "c.seq", -1)

    def usable(self) -> Iterator[Seen]:
        """Candidates that were accepted, in the order of `clip_id`."""
        return self._joined("c.clip_id > ? AND c.is_usable = 1", "c.clip_id", "")

    def _joined(self, condition: str, order: str, begin: Any) -> Iterator[Seen]:
        # CROSS: the order of the candidates, not of the media
        query = (
            f"SELECT {order}, c.candidate, m.path, m.sha256, m.fault FROM candidates c "  # noqa: S608 - of constants
            f"CROSS JOIN media m ON m.id = c.media WHERE {condition} ORDER BY {order} LIMIT ?"
        )
        last = begin
        while rows := self._database.execute(query, (last, _FETCHED_ROWS)).fetchall():
            for position, text, path, sha256, fault in rows:
                last = position
                found = None if fault is None else Fault(**json.loads(fault))
                yield Seen(_CANDIDATE.validate_json(text), Path(path), sha256, found)

    def accept(self, seen: Seen) -> str | None:
        """Count a candidate as usable, unless another usable one has the same bytes: then that one's id."""
        with clear_errors(self.path):
            row = self._database.execute("SELECT clip_id FROM usable WHERE sha256 = ?", (seen.sha256,)).fetchone()
            if row is not None:
                return str(row[0])
            clip_id = seen.candidate.clip_id
            self._database.execute("INSERT INTO usable VALUES (?, ?)", (seen.sha256, clip_id))
            self._database.execute("UPDATE candidates SET is_usable = 1 WHERE clip_id = ?", (clip_id,))
            return None

    def problems(self) -> Iterator[Problem]:
        """All problems in the order in which they were met."""
        query = "SELECT seq, clip_id, video, reason, detail FROM problems WHERE seq > ? ORDER BY seq LIMIT ?"
        last = -1
        while rows := self._database.execute(query, (last, _FETCHED_ROWS)).fetchall():
            for row in rows:
                last = row[0]
                yield Problem(*row[1:])

    def num_candidates(self) -> int:
        """How many candidates there are."""
        return int(self._database.execute("SELECT count(*) FROM candidates").fetchone()[0])

    def num_problems(self) -> int:
        """How many problems there are."""
        return int(self._database.execute("SELECT count(*) FROM problems").fetchone()[0])

    def media_numbered(self, number: int) -> Media:
        """Media by their number."""
        (text,) = self._database.execute("SELECT media FROM media WHERE id = ?", (number,)).fetchone()
        return Media(**json.loads(text))

    def num_media(self) -> int:
        """How many different files or folders of frames the candidates name."""
        return int(self._database.execute("SELECT count(*) FROM media").fetchone()[0])

    def num_pending(self) -> int:
        """How many media nothing is known of."""
        return int(self._database.execute("SELECT count(*) FROM media WHERE is_done = 0").fetchone()[0])

    def problem_counts(self) -> dict[str, int]:
        """Problems by reason, the commonest first, equals in alphabetical order."""
        query = "SELECT reason, count(*) AS n FROM problems GROUP BY reason ORDER BY n DESC, reason"
        return dict(self._database.execute(query).fetchall())
