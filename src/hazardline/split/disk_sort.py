"""Sorts more numbers than memory holds: sorted runs in a file, merged block by block."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RUN_PAIRS = 1 << 20
MERGE_PAIRS = 1 << 20
_LEAST_BLOCK_PAIRS = 1024
_PAIR_BYTES = 16

Pairs = tuple[np.ndarray, np.ndarray]
"""Keys and values, both uint64 (n,)."""


class DiskSort:
    """Takes pairs of a key and a value in any order, and gives them back by rising key, in flat memory.

    Equal keys come in one order for one order of adding. The file is of this process and the machine's byte order.
    """

    def __init__(self, path: Path) -> None:
        """Use `path` for what memory does not hold; it is removed when all has been read."""
        self._path = path
        self._open: list[Pairs] = []
        self._num_open = 0
        self._runs: list[tuple[int, int]] = []  # first pair and end of each run in the file
        path.unlink(missing_ok=True)

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Take pairs; the arrays are kept until their run is full."""
        for start in range(0, len(keys), RUN_PAIRS):
            part = keys[start : start + RUN_PAIRS], values[start : start + RUN_PAIRS]
            self._open.append(part)
            self._num_open += len(part[0])
            if self._num_open >= RUN_PAIRS:
                self._close_run()

    def _sorted_open(self) -> Pairs:
        if not self._open:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        pairs = _sorted([part[0] for part in self._open], [part[1] for part in self._open])
        self._open, self._num_open = [], 0
        return pairs

    def _close_run(self) -> None:
        keys, values = self._sorted_open()
        start = self._runs[-1][1] if self._runs else 0
        with self._path.open("ab") as stream:
            stream.write(np.stack([keys, values], 1).tobytes())
        self._runs.append((start, start + len(keys)))

    def blocks(self) -> Iterator[Pairs]:
        """All pairs, sorted, in blocks of some ten thousand to about a million. To be read once."""
        if not self._runs:
            pairs = self._sorted_open()
            if len(pairs[0]):
                yield pairs
            return
        if self._open:
            self._close_run()
        size = max(_LEAST_BLOCK_PAIRS, MERGE_PAIRS // len(self._runs))
        with self._path.open("rb") as stream:
            yield from self._merged([_Run(stream.fileno(), start, end, size) for start, end in self._runs])
        self._path.unlink()

    def _merged(self, runs: list["_Run"]) -> Iterator[Pairs]:
        while runs := [run for run in runs if run.fill()]:
            # What lies at or below the last key that every unfinished run has shown can go out.
            limits = [run.keys[-1] for run in runs if run.has_more]
            parts = [run.take(min(limits) if limits else None) for run in runs]
            yield _sorted([part[0] for part in parts], [part[1] for part in parts])


class _Run:
    """The next block of a sorted run."""

    def __init__(self, handle: int, start: int, end: int, size: int) -> None:
        self._handle, self._next, self._end, self._size = handle, start, end, size
        self.keys = self._values = np.empty(0, np.uint64)

    @property
    def has_more(self) -> bool:
        """Whether pairs of this run are still in the file only."""
        return self._next < self._end

    def fill(self) -> bool:
        """Have a block in memory; False at the end of the run."""
        if not len(self.keys) and self.has_more:
            count = min(self._size, self._end - self._next)
            data = os.pread(self._handle, count * _PAIR_BYTES, self._next * _PAIR_BYTES)
            pairs = np.frombuffer(data, np.uint64).reshape(count, 2)
            self.keys, self._values = pairs[:, 0].copy(), pairs[:, 1].copy()
            self._next += count
        return len(self.keys) > 0

    def take(self, limit: np.uint64 | None) -> Pairs:
        """Pairs in memory up to a key."""
        cut = len(self.keys) if limit is None else int(np.searchsorted(self.keys, limit, "right"))
        pairs = self.keys[:cut], self._values[:cut]
        self.keys, self._values = self.keys[cut:], self._values[cut:]
        return pairs


def _sorted(keys: list[np.ndarray], values: list[np.ndarray]) -> Pairs:
    all_keys, all_values = np.concatenate(keys), np.concatenate(values)
    order = np.argsort(all_keys, kind="stable")
    return all_keys[order], all_values[order]
