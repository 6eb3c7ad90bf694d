"""Progress of a stage, as events that any front end can show: a terminal, a log, another process."""

import json
import time
from pathlib import Path
from typing import Any, Protocol


class Reporter(Protocol):
    """Where a stage says how far it is. Phases follow one another; a phase with total 0 has no known length."""

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase of `total` units."""

    def advance(self, n: int = 1) -> None:
        """Say that `n` more units of the current phase are done."""

    def note(self, text: str) -> None:
        """Say one line that the user should see now (a count, a decision, a warning)."""


class SilentReporter:
    """Says nothing."""

    def phase(self, name: str, total: int = 0) -> None:
        """Ignore."""

    def advance(self, n: int = 1) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


class EventReporter:
    """Appends one JSON event a line to a file, for a front end in another process.

    Advances are written at most every `interval_s` seconds, and at the end of a phase.
    """

    def __init__(self, path: Path, stage: str, interval_s: float = 0.2) -> None:
        """Open (or create) the event file for appending."""
        self._path = path
        self._stage = stage
        self._interval_s = interval_s
        self._phase, self._total, self._done, self._written_at = "", 0, 0, 0.0

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps({"stage": self._stage, "time": time.time(), **event}, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase."""
        self._phase, self._total, self._done, self._written_at = name, total, 0, time.monotonic()
        self._write({"phase": name, "done": 0, "total": total})

    def advance(self, n: int = 1) -> None:
        """Count, and write if the interval has passed or the phase is complete."""
        self._done += n
        now = time.monotonic()
        if now - self._written_at >= self._interval_s or self._done == self._total:
            self._written_at = now
            self._write({"phase": self._phase, "done": self._done, "total": self._total})

    def note(self, text: str) -> None:
        """Write a note."""
        self._write({"note": text})


class TextReporter:
    """Prints phases and notes as plain lines, with a line at every tenth of a phase: for logs and long jobs."""

    def __init__(self) -> None:
        """Nothing has been said yet."""
        self._phase, self._total, self._done, self._tenth = "", 0, 0, 0

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase."""
        self._phase, self._total, self._done, self._tenth = name, total, 0, 0
        print(f"{name}: {total or ''}", flush=True)

    def advance(self, n: int = 1) -> None:
        """Count, and print at every tenth."""
        self._done += n
        tenth = 10 * self._done // self._total if self._total else 0
        if tenth > self._tenth:
            self._tenth = tenth
            print(f"{self._phase}: {self._done} of {self._total}", flush=True)

    def note(self, text: str) -> None:
        """Print the text."""
        print(text, flush=True)
