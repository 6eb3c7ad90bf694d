"""Which clips may look alike: frames whose hashes begin with the same bits, found by sorting, in flat memory.

A sorting brings hashes with a common beginning side by side; several sortings, each with other bits in front, find
those that differ in few bits (locality-sensitive hashing by bit sampling, Indyk and Motwani 1998; the length of the
common beginning is left to the data, as in an LSH forest, Bawa et al. 2005). A frame meets only its next neighbours, so
the work is in proportion to the number of frames even when all of them are equal.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hazardline.ingest.fingerprints import INNER, INNER_CHANGE, MIRROR, WHOLE, WHOLE_CHANGE
from hazardline.split.disk_sort import DiskSort
from hazardline.split.frame_store import MAX_ROWS, Block, FrameStore

NUM_SORTINGS = 6
_WINDOW = 4
"""Next neighbours that a frame meets in each sorting."""
_FRONT_BITS = 48
"""The lowest frequencies; the front of a key is drawn from them."""
_MAX_DIFFERING_BITS = 10
"""Of the 63 bits of a key, for two frames to be worth a look."""
_MAX_DIFFERING_CHANGES = 24
"""Of the 64 bits of the motion, where both frames have some."""
_SPARSE_ROWS = 8
"""Clips with more rows enter every second one."""
_CLIP_AT = np.uint64(22)  # above 20 bits of the place in the clip, one for the inner part, one for mirrored
_ONE = np.uint64(1)


class Sorting:
    """One order of the bits of a hash; a picture and its mirrored picture have the same key."""

    def __init__(self, number: int) -> None:
        """The order of each number is fixed."""
        rng = np.random.default_rng(number)
        front = rng.permutation(_FRONT_BITS)
        mirror_bits = [int(bit) for bit in front if int(MIRROR[0]) >> int(bit) & 1]
        self._reference = mirror_bits[0]
        bits = [int(bit) for bit in front if bit != self._reference] + list(range(_FRONT_BITS, 64))
        self._tables = np.zeros((8, 256), np.uint64)
        values = np.arange(256)
        for place, bit in enumerate(bits):
            is_set = values >> (bit % 8) & 1
            self._tables[bit // 8] |= is_set.astype(np.uint64) << np.uint64(63 - place)

    def keys(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keys of the first words of hashes, and which of the two mirror images each is: uint64 (n,) and bool (n,)."""
        is_turned = (words >> np.uint64(self._reference) & _ONE).astype(bool)
        data = np.where(is_turned, words ^ MIRROR[0], words).astype("<u8").view(np.uint8).reshape(-1, 8)
        keys = np.zeros(len(words), np.uint64)
        for k in range(8):
            keys |= self._tables[k][data[:, k]]
        return keys, is_turned


def hits(store: FrameStore, number: int, groups: np.ndarray, scratch: Path) -> Iterator[np.ndarray]:
    """Pairs of frames that lie near each other in one sorting.

    Args:
        store: The fingerprints.
        number: Of the sorting.
        groups: int (clips,): clips of one number are known to belong together and are passed over.
        scratch: A folder for files.

    Yields:
        uint64 (n, 2): first clip << 32 | second clip, rising, the first less than the second; and where (`unpacked`).
    """
    sorting = Sorting(number)
    entries = DiskSort(scratch / "entries", 3)
    for block in store.blocks():
        for inner, (words, change) in enumerate(((WHOLE, WHOLE_CHANGE), (INNER, INNER_CHANGE))):
            entries.add(_entries(block, store, sorting, inner, words, change))
    found = DiskSort(scratch / "hits", 2)
    tail = np.empty((0, 3), np.uint64)
    for rows in entries.blocks():
        rows = np.concatenate([tail, rows])
        for step in range(1, _WINDOW + 1):
            first = max(0, len(tail) - step)  # two of the tail have met before
            found.add(_met(rows[first:], step, groups))
        tail = rows[-_WINDOW:]
    yield from found.blocks()


def _entries(
    block: Block, store: FrameStore, sorting: Sorting, inner: int, words: slice, change_word: int
) -> np.ndarray:
    """Rows (key; clip, place, inner, turned; motion) of the frames of a block that are entered."""
    hashes, changes = block.frames[:, words], block.frames[:, change_word]
    used = (hashes != 0).any(1) & store.is_informative[block.clips]
    used &= (block.places % 2 == 0) | (block.lengths <= _SPARSE_ROWS)
    used &= (changes != 0) | ~store.is_moving[block.clips]
    keys, is_turned = sorting.keys(hashes[used, 0])
    values = block.clips[used].astype(np.uint64) << _CLIP_AT
    values |= block.places[used].astype(np.uint64) << np.uint64(2)
    values |= np.uint64(inner << 1) | is_turned
    changes = changes[used]
    return np.stack([keys, values, np.where(is_turned & (changes != 0), changes ^ MIRROR[0], changes)], 1)


def _met(rows: np.ndarray, step: int, groups: np.ndarray) -> np.ndarray:
    """Hits among entries `step` apart."""
    a, b = rows[:-step], rows[step:]
    close = np.bitwise_count(a[:, 0] ^ b[:, 0]) <= _MAX_DIFFERING_BITS
    close &= (a[:, 2] == 0) | (b[:, 2] == 0) | (np.bitwise_count(a[:, 2] ^ b[:, 2]) <= _MAX_DIFFERING_CHANGES)
    close &= (a[:, 1] & b[:, 1] & np.uint64(2)) == 0  # of two copies of one crop the whole pictures meet
    first, second = np.minimum(a[close, 1], b[close, 1]), np.maximum(a[close, 1], b[close, 1])
    clips = (first >> _CLIP_AT).astype(np.int64), (second >> _CLIP_AT).astype(np.int64)
    other = groups[clips[0]] != groups[clips[1]]
    first, second = first[other], second[other]
    keys = first >> _CLIP_AT << np.uint64(32) | second >> _CLIP_AT
    offset = (_place(first) - _place(second) + MAX_ROWS).astype(np.uint64)
    return np.stack([keys, offset << _ONE | (first ^ second) & _ONE], 1)


def _place(values: np.ndarray) -> np.ndarray:
    return (values >> np.uint64(2) & np.uint64(MAX_ROWS - 1)).astype(np.int64)


def unpacked(value: int) -> tuple[int, bool]:
    """Offset in rows and whether one is mirrored, of a value of `hits`."""
    return (value >> 1) - MAX_ROWS, bool(value & 1)
