"""Which clips must stay together: pairs, clips of one recording, near-duplicates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


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
