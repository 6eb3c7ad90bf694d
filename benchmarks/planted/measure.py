"""Recall and precision of near duplicates, by kind of planted copy: ours, and the method it replaced."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import Image

from benchmarks.planted.copies import KINDS, Clip, plant, write_clip
from hazardline import video
from hazardline.ingest.features import HEIGHT_PX, RATE_HZ, WIDTH_PX, Observer
from hazardline.ingest.fingerprints import frames_of
from hazardline.split.frame_store import FrameStore
from hazardline.split.near_duplicates import links

_HASH_AT = (0.1, 0.3, 0.5, 0.7, 0.9)
_OLD_LIMIT_BITS = 6.0
_OLD_FRAME_FACTOR = 3

Edges = list[tuple[int, int]]


@dataclass(frozen=True)
class Base:
    """A clip to plant copies of."""

    name: str
    origin: str
    """Clips of one origin (a crash and its twin, pieces of one recording) are no false match."""
    read: Callable[[], Clip]


@dataclass(frozen=True)
class Seen:
    """What both methods keep of a file."""

    base: str
    origin: str
    kind: str
    fingerprint: np.ndarray
    hashes: np.ndarray
    """uint64 (5,): pHashes at 10, 30, 50, 70 and 90 % of the clip."""


def look(path: Path, base: Base, kind: str) -> Seen:
    """Fingerprint and five hashes of a file, as ingest takes them."""
    observer, frames = Observer(), []
    for frame in video.frames(path, RATE_HZ, WIDTH_PX, HEIGHT_PX):
        observer.see(frame)
        frames.append(frame)
    chosen = [frames[min(len(frames) - 1, int(share * len(frames)))] for share in _HASH_AT]
    hashes = [int(str(imagehash.phash(Image.fromarray(frame))), 16) for frame in chosen]
    return Seen(base.name, base.origin, kind, frames_of(observer.fingerprint()), np.array(hashes, np.uint64))


def plant_all(bases: Sequence[Base], folder: Path) -> list[Seen]:
    """Every base clip and a copy of every kind."""
    seen = []
    for base in bases:
        clip = base.read()
        seen.append(look(write_clip(folder / "clip.mp4", clip), base, "base"))
        seen += [look(plant(folder / "clip.mp4", clip, base.name, kind), base, kind) for kind in KINDS]
    return seen


def ours(clips: Sequence[Seen], folder: Path, max_distance: float) -> Edges:
    """Links of the split stage."""
    store = FrameStore(folder / "frames", (clip.fingerprint for clip in clips))
    found = [(link.first, link.second) for link in links(store, max_distance, folder)]
    store.close()
    return found


def five_hashes(clips: Sequence[Seen]) -> Edges:
    """Pairs by the method before: five pHashes in order, 6 bits apart in the mean and no frame 18."""
    hashes = np.stack([clip.hashes for clip in clips])
    found: Edges = []
    for k in range(len(clips)):
        bits = np.bitwise_count(hashes[k] ^ hashes[k + 1 :])
        close = (bits.mean(1) <= _OLD_LIMIT_BITS) & (bits.max(1, initial=0) <= _OLD_FRAME_FACTOR * _OLD_LIMIT_BITS)
        found += [(k, k + 1 + int(j)) for j in np.flatnonzero(close)]
    return found


def score(clips: Sequence[Seen], edges: Edges) -> dict[str, Any]:
    """Recall: share of copies in one group with their base. Precision: share of edges within one origin."""
    parent = list(range(len(clips)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for a, b in edges:
        parent[root(a)] = root(b)
    bases = {clip.base: k for k, clip in enumerate(clips) if clip.kind == "base"}
    copies = [k for k, clip in enumerate(clips) if clip.kind != "base"]
    num_found = sum(root(k) == root(bases[clips[k].base]) for k in copies)
    num_false = sum(clips[a].origin != clips[b].origin for a, b in edges)
    return {
        "recall": round(num_found / len(copies), 4),
        "precision": round(1 - num_false / max(1, len(edges)), 4),
        "edges": len(edges),
        "false": num_false,
    }


def by_kind(clips: Sequence[Seen], folder: Path, max_distance: float) -> dict[str, Any]:
    """Scores of both methods: the base clips with the copies of one kind, and with all copies at once."""
    groups: dict[str, list[Seen]] = defaultdict(list)
    for clip in clips:
        for kind in KINDS if clip.kind == "base" else [clip.kind]:
            groups[kind].append(clip)
    groups["all_kinds_together"] = list(clips)
    rows = {}
    for kind, members in groups.items():
        found, peer = score(members, ours(members, folder, max_distance)), score(members, five_hashes(members))
        ratio = round(found["recall"] / peer["recall"], 2) if peer["recall"] else None
        rows[kind] = {"ours": found, "five_hashes": peer, "recall_ratio": ratio}
    return rows
