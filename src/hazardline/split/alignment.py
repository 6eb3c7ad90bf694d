"""How much two clips look alike, frame by frame along time, at the offset that fits best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hazardline.ingest.fingerprints import HASH_WORDS, INNER, INNER_CHANGE, MIRROR, WHOLE, WHOLE_CHANGE

_Part = tuple[slice, int]
_Parts = tuple[_Part, _Part]
_PARTS: tuple[_Parts, ...] = (
    ((WHOLE, WHOLE_CHANGE), (WHOLE, WHOLE_CHANGE)),
    ((INNER, INNER_CHANGE), (WHOLE, WHOLE_CHANGE)),  # the second was cropped
    ((WHOLE, WHOLE_CHANGE), (INNER, INNER_CHANGE)),
)
_WORD_BITS = 64
_MATRIX_CELLS = 1 << 16
"""Two clips of up to 100 s are compared at every offset; longer ones where hits say."""
_TRIES = 2
"""Coarse fits that are looked at between the rows as well."""
_LEAST_OVERLAP = 0.5
"""Of the frames of the shorter clip that tell something."""
_MOST_PICTURE = 0.25
"""No motion makes up for pictures that differ in more of their bits."""
LEAST_MOVING = 3
"""Compared frames with motion; with fewer the pictures alone decide."""
STILL_FACTOR = 3.0
"""Pictures without motion must be as many times nearer: half of all bits differ by chance in either hash, but other
scenes of one camera or one simulator come nearer in the picture than in the motion."""


@dataclass(frozen=True)
class Alignment:
    """The best fit of two clips."""

    distance: float
    """Share of differing bits in the pictures plus that in the motion; without motion three times that in the pictures."""
    offset: float
    """Rows by which the second begins after the first; halves lie between rows."""
    is_mirrored: bool
    num_compared: int


def align(first: np.ndarray, second: np.ndarray, is_mirrored: bool, offsets: Sequence[int]) -> Alignment | None:
    """Compare two fingerprints where they fit best.

    Args:
        first: uint64 (n, 8).
        second: uint64 (m, 8).
        is_mirrored: Whether to mirror the second.
        offsets: Where to look if the clips are too long to look everywhere.

    Returns:
        The fit of the least distance, or None where too little overlaps or the pictures differ everywhere.
    """
    turned = _mirrored(second) if is_mirrored else second
    told = min(int(_told(frames[:, WHOLE]).sum()) for frames in (first, second))
    least = max(1, int(np.ceil(_LEAST_OVERLAP * told)))
    if len(first) * len(second) <= _MATRIX_CELLS:
        tries = sorted(_ranked(first, turned, least), key=lambda found: found[0])[:_TRIES]
        places = [(parts, offset) for _, parts, offset in tries]
    else:
        places = [(parts, offset) for parts in _PARTS for offset in offsets]
    best: Alignment | None = None
    for parts, offset in places:
        for halves in range(2 * offset - 2, 2 * offset + 3):
            found = _fit(first, turned, parts, halves, least)
            if found is not None and (best is None or found[0] < best.distance):
                best = Alignment(found[0], halves / 2, is_mirrored, found[1])
    return best


def _told(words: np.ndarray) -> np.ndarray:
    """Which hashes (n, words) or (n,) are not blank: bool (n,)."""
    return np.asarray((words.reshape(len(words), -1) != 0).any(1))


def _ranked(first: np.ndarray, second: np.ndarray, least: int) -> Iterator[tuple[float, _Parts, int]]:
    """Mean difference of pictures and motion at every offset of whole rows that leaves enough overlap."""
    offsets = np.subtract.outer(np.arange(len(first)), np.arange(len(second))) + len(second) - 1
    for parts in _PARTS:
        (words_a, change_a), (words_b, change_b) = parts
        counts, picture = _along(offsets, first[:, words_a], second[:, words_b])
        num_moving, motion = _along(offsets, first[:, [change_a]], second[:, [change_b]])
        total = picture + np.where(num_moving >= LEAST_MOVING, motion, (STILL_FACTOR - 1) * picture)
        enough = np.flatnonzero(counts >= least)
        for k in enough[np.argsort(total[enough], kind="stable")[:_TRIES]]:
            yield float(total[k]), parts, int(k) - len(second) + 1


def _along(offsets: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of pairs of hashes that tell something, and mean share of differing bits, for each offset."""
    bits = np.bitwise_count(a[:, None] ^ b[None]).sum(-1, dtype=np.float64) / (_WORD_BITS * a.shape[1])
    told = np.logical_and.outer(_told(a), _told(b))
    counts = np.bincount(offsets.ravel(), told.ravel())
    return counts, np.bincount(offsets.ravel(), (bits * told).ravel()) / np.maximum(counts, 1)


_FLIPS = np.concatenate([MIRROR, MIRROR, MIRROR[:1], MIRROR[:1]])


def _mirrored(frames: np.ndarray) -> np.ndarray:
    """The fingerprint of the mirrored clip; blank words stay blank."""
    return np.where(frames != 0, frames ^ _FLIPS, frames)


def _fit(
    first: np.ndarray, second: np.ndarray, parts: _Parts, halves: int, least: int
) -> tuple[float, int] | None:
    """Distance and number of compared frames at one offset (in half rows)."""
    offset, half = halves // 2, halves % 2
    start, end = max(0, offset), min(len(first), offset + len(second) - half)
    if end - start < least:
        return None
    rows = first[start:end]
    before, after = second[start - offset : end - offset], second[start - offset + half : end - offset + half]
    (words_a, change_a), (words_b, change_b) = parts
    a, b0, b1 = rows[:, words_a], before[:, words_b], after[:, words_b]
    told = _told(a) & _told(b0) & _told(b1)
    count = int(told.sum())
    if count < least:
        return None
    picture = _share(a[told], b0[told], b1[told], HASH_WORDS)
    if picture > _MOST_PICTURE:
        return None
    c, d0, d1 = rows[:, change_a], before[:, change_b], after[:, change_b]
    moving = told & (c != 0) & (d0 != 0) & (d1 != 0)
    if moving.sum() < LEAST_MOVING:
        return STILL_FACTOR * picture, count
    return picture + _share(c[moving], d0[moving], d1[moving], 1), count


def _share(a: np.ndarray, before: np.ndarray, after: np.ndarray, num_words: int) -> float:
    """Share of bits that differ from `a`, of those that are the same before and after the moment of `a`."""
    unsettled = before ^ after
    differing = np.bitwise_count((a ^ before) & ~unsettled).sum()
    return float(differing / max(1, _WORD_BITS * num_words * len(a) - np.bitwise_count(unsettled).sum()))
