"""Near duplicates among all clips, by their fingerprints: found in candidates, proved by alignment, in flat memory.

Groups need connections and not every pair: clips that are joined already are not compared again, so a thousand copies
of one clip give 999 links and not half a million.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa

from hazardline.errors import UserError
from hazardline.ingest.fingerprints import FINGERPRINTS, RATE_HZ, frames_of
from hazardline.split.alignment import Alignment, align
from hazardline.split.candidates import NUM_SORTINGS, hits, unpacked
from hazardline.split.columns import Clips
from hazardline.split.frame_store import FrameStore
from hazardline.split.groups import Neighbours
from hazardline.tables import SCENES, read_rows

LEAST_SHIFT_S = 0.3
"""Copies whose beginnings lie nearer together do not count as trimmed."""
_MOST_OFFSETS = 4
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class NearDuplicates:
    """What was found in a table of fingerprints."""

    neighbours: list[Neighbours]
    """One pair less than its clips for every group of near duplicates."""
    num_uninformative: int
    """Clips that could not be compared."""
    num_clips_in_largest_group: int


def near_duplicates(clips: Clips, folder: Path, max_distance: float, scratch: Path) -> NearDuplicates:
    """Near duplicates among the clips of a data set.

    Args:
        clips: The scenes.
        folder: With fingerprints.parquet, its rows in the order of those of scenes.parquet.
        max_distance: Of an alignment, for two clips to count as near duplicates.
        scratch: A folder on a disk with room for the fingerprints and twice as much; it is left as it was.

    Raises:
        UserError: the table cannot be read, or is of other clips.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="near-duplicates-") as name:
        store = FrameStore(Path(name) / "frames", _fingerprints(clips, folder))
        with closing(store):
            found = list(links(store, max_distance, Path(name)))
            num_uninformative = int((~store.is_informative).sum())
    groups = _Groups(len(clips))
    for link in found:
        groups.join(link.first, link.second)
    sizes = np.bincount(groups.labels())
    return NearDuplicates(_named(clips, found), num_uninformative, int(sizes.max(initial=0)))


def _named(clips: Clips, found: Sequence["Link"]) -> list[Neighbours]:
    """Links by the ids of their clips."""
    rows = np.array([(link.first, link.second) for link in found], np.int64).reshape(-1, 2)
    ids = clips.ids.take(pa.array(clips.rows_of_file()[rows].ravel())).to_pylist()
    named = []
    for link, first, second in zip(found, ids[::2], ids[1::2], strict=True):
        if first < second:
            named.append(Neighbours(first, second, link.distance, link.is_mirrored, link.offset_s))
        else:
            named.append(Neighbours(second, first, link.distance, link.is_mirrored, -link.offset_s))
    return named


def _fingerprints(clips: Clips, folder: Path) -> Iterator[np.ndarray]:
    """Fingerprints in the order of the file of scenes."""
    ids = (clip_id for batch in clips.batches(["clip_id"]) for clip_id in batch.column(0).to_pylist())
    rows = read_rows(FINGERPRINTS, folder, batch_rows=_BATCH_ROWS)
    for place, (clip_id, row) in enumerate(zip_longest(ids, rows)):
        if row is None or row["clip_id"] != clip_id:
            path = folder / FINGERPRINTS.file_name
            raise UserError(f"{path}: in row {place} another clip than in {SCENES.file_name}; run ingest again")
        yield frames_of(row["frames"])


@dataclass(frozen=True)
class Link:
    """Two clips, by number, that look alike."""

    first: int
    second: int
    distance: float
    is_mirrored: bool
    offset_s: float
    """See `hazardline.split.groups.Neighbours`."""


class _Groups:
    """Which clips are connected: the least number in each group stands for it."""

    def __init__(self, num_clips: int) -> None:
        self._parent = np.arange(num_clips, dtype=np.int32)

    def root(self, clip: int) -> int:
        parent = self._parent
        while parent[clip] != clip:
            parent[clip] = parent[parent[clip]]
            clip = int(parent[clip])
        return clip

    def join(self, first: int, second: int) -> bool:
        """Connect two clips; False if they were."""
        low, high = sorted((self.root(first), self.root(second)))
        self._parent[high] = low
        return low != high

    def labels(self) -> np.ndarray:
        """Int (clips,): the group of every clip."""
        while True:
            above = self._parent[self._parent]
            if np.array_equal(above, self._parent):
                return above
            self._parent = above


def links(store: FrameStore, max_distance: float, scratch: Path) -> Iterator[Link]:
    """Links that connect all near duplicates that were found, each between two clips not yet connected.

    Args:
        store: Fingerprints of all clips.
        max_distance: Of an alignment, for the clips to count as near duplicates.
        scratch: A folder for files of up to some kB a clip; they are gone at the end.
    """
    groups = _Groups(len(store))
    for number in range(NUM_SORTINGS):
        for first, second, votes in _candidates(hits(store, number, groups.labels(), scratch)):
            if groups.root(first) == groups.root(second):
                continue
            fit = _best(store, first, second, votes, max_distance)
            if fit is not None:
                groups.join(first, second)
                yield Link(first, second, fit.distance, fit.is_mirrored, fit.offset / RATE_HZ)


def _candidates(blocks: Iterator[np.ndarray]) -> Iterator[tuple[int, int, Counter[int]]]:
    """Pairs of clips, each with how often each place (see `unpacked`) was hit."""
    key, votes = -1, Counter[int]()
    for rows in blocks:
        keys, values = rows[np.lexsort((rows[:, 1], rows[:, 0]))].T
        is_new = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]) | (values[1:] != values[:-1])]))
        counts = np.diff(np.append(is_new, len(keys)))
        for k, v, count in zip(keys[is_new].tolist(), values[is_new].tolist(), counts.tolist(), strict=True):
            if k != key:
                if key >= 0:
                    yield key >> 32, key & 0xFFFFFFFF, votes
                key, votes = k, Counter()
            votes[v] += count
    if key >= 0:
        yield key >> 32, key & 0xFFFFFFFF, votes


def _best(store: FrameStore, first: int, second: int, votes: Counter[int], max_distance: float) -> Alignment | None:
    """The best fit, plain or mirrored, of two clips."""
    tries: dict[bool, list[int]] = {}
    for value, _ in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
        offset, is_mirrored = unpacked(value)
        if len(tries.setdefault(is_mirrored, [])) < _MOST_OFFSETS:
            tries[is_mirrored].append(offset)
    a, b = store.frames(first), store.frames(second)
    fits = [align(a, b, is_mirrored, offsets, max_distance) for is_mirrored, offsets in sorted(tries.items())]
    return min((fit for fit in fits if fit is not None), key=lambda fit: fit.distance, default=None)
