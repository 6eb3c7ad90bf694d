"""Sorts more rows of numbers than memory holds: sorted runs in a file, merged block by block."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RUN_ROWS = 1 << 19
_MERGE_ROWS = 1 << 19
_LEAST_BLOCK_ROWS = 1024


class DiskSort:
    """Takes rows of uint64 in any order and gives them back by rising first column, in flat memory.

    Rows of one key come in one order for one order of adding. The file is for this process alone.
    """

    def __init__(self, path: Path, num_columns: int) -> None:
        """Use `path` for what memory does not hold; it is removed when all has been read."""
        self._path = path
        self._num_columns = num_columns
        self._open: list[np.ndarray] = []
        self._num_open = 0
        self._runs: list[tuple[int, int]] = []  # first row and end of each run in the file
        path.unlink(missing_ok=True)

    def add(self, rows: np.ndarray) -> None:
        """Take rows (n, columns); the array is kept until its run is full."""
        for start in range(0, len(rows), RUN_ROWS):
            part = rows[start : start + RUN_ROWS]
            self._open.append(part)
            self._num_open += len(part)
            if self._num_open >= RUN_ROWS:
                self._close_run()

    def _sorted_open(self) -> np.ndarray:
        rows = _sorted([np.empty((0, self._num_columns), np.uint64), *self._open])
        self._open, self._num_open = [], 0
        return rows

    def _close_run(self) -> None:
        rows = self._sorted_open()
        start = self._runs[-1][1] if self._runs else 0
        with self._path.open("ab") as stream:
            stream.write(rows.tobytes())
        self._runs.append((start, start + len(rows)))

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, sorted, in blocks of at most about a million rows. To be read once."""
        if not self._runs:
            rows = self._sorted_open()
            if len(rows):
                yield rows
            return
        if self._open:
            self._close_run()
        size = max(_LEAST_BLOCK_ROWS, _MERGE_ROWS // len(self._runs))
        with self._path.open("rb") as stream:
            yield from _merged(
                [_Run(stream.fileno(), self._num_columns, start, end, size) for start, end in self._runs]
            )
        self._path.unlink()


class _Run:
    """The next block of a sorted run."""

    def __init__(self, handle: int, num_columns: int, start: int, end: int, size: int) -> None:
        self._handle, self._num_columns = handle, num_columns
        self._next, self._end, self._size = start, end, size
        self.rows = np.empty((0, num_columns), np.uint64)

    @property
    def has_more(self) -> bool:
        """Whether rows of this run are still in the file only."""
        return self._next < self._end

    def fill(self) -> bool:
        """Have a block in memory; False at the end of the run."""
        if not len(self.rows) and self.has_more:
            count = min(self._size, self._end - self._next)
            row_bytes = 8 * self._num_columns
            data = os.pread(self._handle, count * row_bytes, self._next * row_bytes)
            self.rows = np.frombuffer(data, np.uint64).reshape(count, self._num_columns)
            self._next += count
        return len(self.rows) > 0

    def take(self, limit: np.uint64 | None) -> np.ndarray:
        """Rows in memory up to a key."""
        cut = len(self.rows) if limit is None else int(np.searchsorted(self.rows[:, 0], limit, "right"))
        taken, self.rows = self.rows[:cut], self.rows[cut:]
        return taken


def _merged(runs: list[_Run]) -> Iterator[np.ndarray]:
    while runs := [run for run in runs if run.fill()]:
        # What lies at or below the last key that every unfinished run has shown can go out.
        limits = [run.rows[-1, 0] for run in runs if run.has_more]
        yield _sorted([run.take(min(limits) if limits else None) for run in runs])


def _sorted(parts: list[np.ndarray]) -> np.ndarray:
    rows = np.concatenate(parts)
    return rows[np.argsort(rows[:, 0], kind="stable")]
