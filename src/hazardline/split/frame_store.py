"""Fingerprints of all clips as one flat file: any clip's rows at one read, whatever the number of clips."""

import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hazardline.ingest.fingerprints import NUM_WORDS, WHOLE, WHOLE_CHANGE

_ROW_BYTES = 8 * NUM_WORDS
_BLOCK_ROWS = 1 << 16
MAX_ROWS = 1 << 20
"""Of one clip: over a hundred hours."""
LEAST_MOVING = 3
"""Frames with motion, for the motion to count."""
LEAST_ROWS = 4
"""A clip that lasts longer must tell something in so many rows (1.6 s) to be compared."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows of the file, of whole or broken clips."""

    frames: np.ndarray
    """uint64 (n, 8)"""
    clips: np.ndarray
    """int64 (n,): number of the clip of each row, in the order of adding."""
    places: np.ndarray
    """int64 (n,): place of each row in its clip."""
    lengths: np.ndarray
    """int64 (n,): number of rows of the clip of each row."""


class FrameStore:
    """Rows of fingerprints by the number of their clip. It keeps 10 bytes a clip in memory."""

    def __init__(self, path: Path, clips: Iterable[np.ndarray]) -> None:
        """Write the rows of all clips to a file.

        Args:
            path: The file.
            clips: A fingerprint (rows, 8) for each clip.
        """
        ends, informative, moving, end = array("q", [0]), bytearray(), bytearray(), 0
        with path.open("wb") as stream:
            for frames in clips:
                if len(frames) > MAX_ROWS:
                    raise ValueError(f"a fingerprint of {len(frames)} rows, at most {MAX_ROWS} are possible")
                stream.write(np.ascontiguousarray(frames, np.uint64).tobytes())
                end += len(frames)
                ends.append(end)
                told = int((frames[:, WHOLE] != 0).any(1).sum())
                informative.append(told >= min(LEAST_ROWS, max(1, len(frames))))
                moving.append(int((frames[:, WHOLE_CHANGE] != 0).sum()) >= LEAST_MOVING)
        self._starts = np.frombuffer(ends, np.int64)
        self.is_informative = np.frombuffer(informative, bool)
        """bool (clips,): whether a clip tells enough to be compared."""
        self.is_moving = np.frombuffer(moving, bool)
        """bool (clips,): whether a clip has motion to compare."""
        self._handle = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._starts) - 1

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def frames(self, clip: int) -> np.ndarray:
        """uint64 (rows, 8) of one clip."""
        start, end = int(self._starts[clip]), int(self._starts[clip + 1])
        return self._read(start, end)

    def blocks(self) -> Iterator[Block]:
        """All rows in order."""
        total = int(self._starts[-1])
        for start in range(0, total, _BLOCK_ROWS):
            end = min(total, start + _BLOCK_ROWS)
            rows = np.arange(start, end)
            clips = np.searchsorted(self._starts, rows, "right") - 1
            first = self._starts[clips]
            yield Block(self._read(start, end), clips, rows - first, self._starts[clips + 1] - first)

    def _read(self, start: int, end: int) -> np.ndarray:
        data = os.pread(self._handle, (end - start) * _ROW_BYTES, start * _ROW_BYTES)
        return np.frombuffer(data, np.uint64).reshape(-1, NUM_WORDS)
