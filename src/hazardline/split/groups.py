"""Which clips must stay together: pairs, clips of one recording, of one channel, of one place, near-duplicates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hazardline.split.columns import Clips
from hazardline.split.config import GroupKey

KEY_COLUMNS: Mapping[GroupKey, str] = {
    "pair": "pair_id",
    "recording": "recording_id",
    "channel": "channel_id",
    "location": "location",
}
_WITHIN_SOURCE: frozenset[GroupKey] = frozenset({"pair", "recording"})
"""Each data set numbers its pairs and recordings for itself; a channel and a city are the same in all of them."""
DEFAULT_KEYS: tuple[GroupKey, ...] = ("pair", "recording", "channel")


@dataclass(frozen=True)
class Neighbours:
    """Two clips that look the same, and how the second differs."""

    first: str
    second: str
    distance: float
    """Share of differing bits; see `hazardline.split.alignment.Alignment`."""
    is_mirrored: bool = False
    offset_s: float = 0.0
    """The second clip begins by so much later in what both show."""


@dataclass(frozen=True)
class Groups:
    """Which clips stay together. A group is named by the smallest clip id in it."""

    first: np.ndarray
    """Row (g, int32) of each group's first clip, ascending."""
    of_clip: np.ndarray
    """Group number (n, int32) of each clip."""

    @property
    def sizes(self) -> np.ndarray:
        """Clips (g, int64) of each group."""
        return np.bincount(self.of_clip, minlength=len(self.first))


def group(clips: Clips, neighbours: Iterable[Neighbours], by: Sequence[GroupKey] = DEFAULT_KEYS) -> Groups:
    """Join clips by keys and by near-duplication, also through a chain of others.

    Args:
        clips: The scenes.
        neighbours: Near duplicates; they are always joined.
        by: What else keeps clips together: see `KEY_COLUMNS`.
    """
    parents = np.arange(len(clips), dtype=np.int32)
    for key in by:
        parents = _join(parents, *_links(key_hashes(clips, key)))
    pairs = [(pair.first, pair.second) for pair in neighbours]
    if pairs:
        rows = clips.rows_of([clip_id for pair in pairs for clip_id in pair]).reshape(-1, 2)
        parents = _join(parents, rows[:, 0], rows[:, 1])
    is_first = parents == np.arange(len(parents))
    numbers = np.cumsum(is_first, dtype=np.int32) - 1
    return Groups(np.flatnonzero(is_first).astype(np.int32), numbers[parents].astype(np.int32))


def key_hashes(clips: Clips, key: GroupKey) -> np.ndarray:
    """64 bits (n, uint64) for what a key says of every clip; 0 where it says nothing.

    A clip without a recording is its own: what was cut out of it later names it as its recording.
    """
    return clips.hashes(KEY_COLUMNS[key], within_source=key in _WITHIN_SOURCE, or_clip_id=key == "recording")


def _links(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows that share a value: each row with the next of the same value."""
    order = np.argsort(hashes, kind="stable")
    values = hashes[order]
    same = np.flatnonzero((values[1:] == values[:-1]) & (values[1:] != 0))
    return order[same], order[same + 1]


def _join(parents: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The smallest row (n) of each row's component when pairs of rows are joined to components that are there.

    In every turn each root hooks onto the smallest neighbouring one, so at least half of them vanish.
    """
    while True:
        left, right = parents[first], parents[second]
        differ = left != right
        if not differ.any():
            return parents
        low, high = np.minimum(left, right)[differ], np.maximum(left, right)[differ]
        np.minimum.at(parents, high, low)
        while not np.array_equal(shorter := parents[parents], parents):
            parents = shorter
