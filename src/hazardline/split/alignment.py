"""How much two clips look alike, frame by frame along time, at the offset that fits best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hazardline.ingest.fingerprints import INNER, INNER_CHANGE, MIRROR, WHOLE, WHOLE_CHANGE
from hazardline.split.frame_store import LEAST_MOVING

_PAIRS_OF_PARTS = ((0, 0), (1, 0), (0, 1))
"""Whole with whole; inner with whole, as the second may have been cropped; and the other way."""
_WORD_BITS = 64
_LEAST_OVERLAP = 0.5
"""Of the frames of the shorter clip that tell something."""
_MOST_PICTURE = 0.25
"""No motion makes up for pictures that differ in more of their bits."""
STILL_FACTOR = 3.0
"""Without motion the pictures must be as many times nearer: other scenes of one camera or one simulator differ less in
the picture than in the motion."""
_MATRIX_CELLS = 1 << 16
"""Two clips of up to 100 s are compared at every offset; longer ones where hits say."""
_TRIES = 2
"""Coarse fits that are looked at between the rows as well."""
_GAIN_BETWEEN_ROWS = 0.2
"""By so much a fit between the rows can be better than one at whole rows (0.2 s away at most)."""


@dataclass(frozen=True)
class Alignment:
    """The best fit of two clips."""

    distance: float
    """Share of differing bits in the pictures plus that in the motion; without motion three times that of pictures."""
    offset: float
    """Rows by which the second begins after the first; halves lie between rows."""
    is_mirrored: bool
    num_compared: int


@dataclass(frozen=True)
class _Part:
    """The hashes of the whole picture or of its inner part, and which of them are not blank."""

    hashes: np.ndarray
    """uint64 (n, words)"""
    told: np.ndarray
    changes: np.ndarray
    """uint64 (n, 1)"""
    moves: np.ndarray


_FLIPS = np.concatenate([MIRROR, MIRROR, MIRROR[:1], MIRROR[:1]])


def _parts(frames: np.ndarray, is_mirrored: bool) -> list[_Part]:
    """Both parts of a fingerprint, of its mirror image if asked for (blank words stay blank)."""
    if is_mirrored:
        frames = np.where(frames != 0, frames ^ _FLIPS, frames)
    return [
        _Part(frames[:, words], (frames[:, words] != 0).any(1), frames[:, [change]], frames[:, change] != 0)
        for words, change in ((WHOLE, WHOLE_CHANGE), (INNER, INNER_CHANGE))
    ]


def align(
    first: np.ndarray, second: np.ndarray, is_mirrored: bool, offsets: Sequence[int], max_distance: float
) -> Alignment | None:
    """Compare two fingerprints where they fit best.

    Args:
        first: uint64 (n, 8).
        second: uint64 (m, 8).
        is_mirrored: Whether to mirror the second.
        offsets: Where to look if the clips are too long to look everywhere.
        max_distance: Fits beyond it are not wanted.

    Returns:
        The fit of the least distance, or None where no fit with enough overlap stays within `max_distance`.
    """
    parts_a, parts_b = _parts(first, False), _parts(second, is_mirrored)
    least = max(1, int(np.ceil(_LEAST_OVERLAP * min(parts_a[0].told.sum(), parts_b[0].told.sum()))))
    pairs = [(parts_a[k], parts_b[j]) for k, j in _PAIRS_OF_PARTS]
    if len(first) * len(second) <= _MATRIX_CELLS:
        ranked = sorted(_ranked(pairs, least), key=lambda found: found[0])[:_TRIES]
        tries = [(k, offset) for total, k, offset in ranked if total <= max_distance + _GAIN_BETWEEN_ROWS]
    else:
        tries = [(k, offset) for k in range(len(pairs)) for offset in offsets]
    best: Alignment | None = None
    for k, offset in tries:
        for step in (0, -2, 2, -1, 1):  # whole rows first: they win a draw
            halves = 2 * offset + step
            found = _fit(*pairs[k], halves, least)
            if found is not None and found[0] <= max_distance and (best is None or found[0] < best.distance):
                best = Alignment(found[0], halves / 2, is_mirrored, found[1])
    return best


def _ranked(pairs: Sequence[tuple[_Part, _Part]], least: int) -> Iterator[tuple[float, int, int]]:
    """Mean difference of pictures and motion, pair of parts and offset, at the best offsets of whole rows."""
    num_a, num_b = len(pairs[0][0].told), len(pairs[0][1].told)
    places = (np.arange(num_a)[:, None] - np.arange(num_b) + num_b - 1).ravel()
    for k, (a, b) in enumerate(pairs):
        counts, picture = _along(places, a.hashes, b.hashes, a.told, b.told)
        num_moving, motion = _along(places, a.changes, b.changes, a.moves, b.moves)
        total = picture + np.where(num_moving >= LEAST_MOVING, motion, (STILL_FACTOR - 1) * picture)
        total[counts < least] = np.inf
        for place in np.argsort(total, kind="stable")[:_TRIES]:
            yield float(total[place]), k, int(place) - num_b + 1


def _along(
    places: np.ndarray, a: np.ndarray, b: np.ndarray, told_a: np.ndarray, told_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Number of pairs of hashes that tell something, and mean share of differing bits, for each offset."""
    bits = np.bitwise_count(a[:, None, 0] ^ b[:, 0])
    for word in range(1, a.shape[1]):
        bits = bits + np.bitwise_count(a[:, None, word] ^ b[:, word])
    told = told_a[:, None] & told_b
    counts = np.bincount(places, told.ravel())
    sums = np.bincount(places, (bits * told).ravel())
    return counts, sums / (_WORD_BITS * a.shape[1] * np.maximum(counts, 1))


def _fit(a: _Part, b: _Part, halves: int, least: int) -> tuple[float, int] | None:
    """Distance and number of compared frames at one offset (in half rows)."""
    offset, half = halves // 2, halves % 2
    start, end = max(0, offset), min(len(a.told), offset + len(b.told) - half)
    if end - start < least:
        return None
    rows, before = slice(start, end), slice(start - offset, end - offset)
    after = slice(before.start + half, before.stop + half)
    told = a.told[rows] & b.told[before] & b.told[after]
    count = int(told.sum())
    if count < least:
        return None
    picture = _share(a.hashes[rows][told], b.hashes[before][told], b.hashes[after][told])
    if picture > _MOST_PICTURE:
        return None
    moves = told & a.moves[rows] & b.moves[before] & b.moves[after]
    if moves.sum() < LEAST_MOVING:
        return STILL_FACTOR * picture, count
    return picture + _share(a.changes[rows][moves], b.changes[before][moves], b.changes[after][moves]), count


def _share(a: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Share of bits that differ from `a`, of those that are the same before and after the moment of `a`."""
    unsettled = before ^ after
    differing = np.bitwise_count((a ^ before) & ~unsettled).sum()
    return float(differing / max(1, _WORD_BITS * a.size - np.bitwise_count(unsettled).sum()))
