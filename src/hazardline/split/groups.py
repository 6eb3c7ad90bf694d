"""Which clips must stay together: pairs, clips of one recording, near-duplicates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_FRAME_FACTOR = 3
"""No single frame may differ in more than this many times the limit of the mean."""
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Neighbours:
    """Two clips that look the same, and the mean number of differing bits of 64 over their five frames."""

    first: str
    second: str
    distance: float


def near_duplicates(scenes: Sequence[Mapping[str, Any]], max_distance: float) -> list[Neighbours]:
    """All pairs of clips whose perceptual hashes agree, frame by frame in order.

    Of simulated clips, different scenes of one family in the same weather stay 13 bits apart in the mean, while copies
    in another size, rate, brightness or quality stay below 6; a copy that begins elsewhere is not found.

    Args:
        scenes: Rows of the scenes table.
        max_distance: Limit of the mean over five frames; a single frame may reach three times of it.

    Returns:
        Pairs in the order of their ids.
    """
    rows = sorted(scenes, key=lambda row: str(row["clip_id"]))
    if not rows:
        return []
    hashes = np.array([[int(h, 16) for h in row["perceptual_hashes"]] for row in rows], np.uint64)
    found = []
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = hashes[start : start + _BLOCK_ROWS]
        bits = np.bitwise_count(block[:, None] ^ hashes[None, start:])
        close = (bits.mean(-1) <= max_distance) & (bits.max(-1) <= _FRAME_FACTOR * max_distance)
        for i, j in np.argwhere(np.triu(close, 1)):
            first, second = rows[start + i]["clip_id"], rows[start + j]["clip_id"]
            found.append(Neighbours(first, second, float(bits[i, j].mean())))
    return found


def group(scenes: Sequence[Mapping[str, Any]], neighbours: Iterable[Neighbours]) -> dict[str, str]:
    """The group of every clip, named by the smallest clip id in it.

    Clips are joined by `pair_id`, by `recording_id` (both within their source) and by near-duplication, also through a
    chain of others.
    """
    parent = {str(row["clip_id"]): str(row["clip_id"]) for row in scenes}

    def root(clip_id: str) -> str:
        while parent[clip_id] != clip_id:
            parent[clip_id] = parent[parent[clip_id]]
            clip_id = parent[clip_id]
        return clip_id

    def join(first: str, second: str) -> None:
        low, high = sorted((root(first), root(second)))
        parent[high] = low

    owners: dict[tuple[str, str, str], str] = {}
    for row in scenes:
        for column in ("pair_id", "recording_id"):
            if row[column] is not None:
                key = (column, row["source"], row[column])
                join(owners.setdefault(key, row["clip_id"]), row["clip_id"])
    for pair in neighbours:
        join(pair.first, pair.second)
    return {clip_id: root(clip_id) for clip_id in sorted(parent)}
