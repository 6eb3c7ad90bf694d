"""Which feature files a budget has room for: a decision without files, and the folder that it is about.

The folder outlives a run, so that a second run, or one that was cut off, does not encode again. Files of this run come
first, in the order of their need; the others stay as long as there is room, the least recently used go first.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """A file that is there."""

    name: str
    size_bytes: int
    used_at: float


@dataclass(frozen=True)
class Wanted:
    """Features that a run would like to have, by key."""

    key: str
    size_bytes: int


@dataclass(frozen=True)
class CachePlan:
    """What is kept and what goes."""

    kept: frozenset[str]
    """Keys of this run that have room."""
    evicted: tuple[str, ...]
    """Names of files that go."""


def plan_cache(wanted: Sequence[Wanted], held: Mapping[str, Held], budget_bytes: int | None) -> CachePlan:
    """Divide a budget.

    Args:
        wanted: of this run, what is needed most first.
        held: files that are there, by key.
        budget_bytes: None for no limit.
    """
    kept: set[str] = set()
    room = float("inf") if budget_bytes is None else budget_bytes
    for item in wanted:
        size = held[item.key].size_bytes if item.key in held else item.size_bytes
        if item.key not in kept and size <= room:
            kept.add(item.key)
            room -= size
    evicted = []
    for key, file in sorted(held.items(), key=lambda item: item[1].used_at, reverse=True):
        if key in kept:
            continue
        if file.size_bytes <= room:
            room -= file.size_bytes
        else:
            evicted.append(file.name)
    return CachePlan(frozenset(kept), tuple(evicted))


def files_of(folder: Path) -> dict[str, Held]:
    """The feature files of a folder by key."""
    found = {}
    for entry in os.scandir(folder):
        if entry.name.endswith(".npy") and not entry.name.startswith("."):
            status = entry.stat()
            held = Held(entry.name, status.st_size, status.st_mtime)
            found[entry.name.partition("-")[0]] = held
    return found
