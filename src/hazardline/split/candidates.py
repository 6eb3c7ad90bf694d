"""Which clips may look alike: frames whose hashes begin with the same bits, found by sorting, in flat memory.

A sorting brings hashes with a common beginning side by side; several sortings, each with other bits in front, find those
that differ in few bits (locality-sensitive hashing by bit sampling, Indyk and Motwani 1998, with the length of the
common beginning left to the data, as in an LSH forest, Bawa et al. 2005). A frame meets only its next neighbours, so the
work is in proportion to the number of frames even when all of them are equal.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hazardline.ingest.fingerprints import INNER, MIRROR, WHOLE
from hazardline.split.disk_sort import DiskSort
from hazardline.split.frame_store import MAX_ROWS, Block, FrameStore

NUM_SORTINGS = 6
_WINDOW = 4
"""Next neighbours that a frame meets in each sorting."""
_FRONT_BITS = 48
"""The lowest frequencies; the front of a key is drawn from them."""
_MAX_DIFFERING_BITS = 10
"""Of the 63 bits of a key, for two frames to be worth a look."""
_SPARSE_ROWS = 8
"""Clips with more rows enter every second one."""
_PLACE_BITS = 20
_ROWS_AT = np.uint64(_PLACE_BITS + 2)
_ONE = np.uint64(1)

Hits = Iterator[tuple[np.ndarray, np.ndarray]]


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


def hits(store: FrameStore, number: int, groups: np.ndarray, scratch: Path) -> Hits:
    """Pairs of frames that lie side by side in one sorting.

    Args:
        store: The fingerprints.
        number: Of the sorting.
        groups: int (clips,): clips of one number are known to belong together and are passed over.
        scratch: A folder for files.

    Yields:
        Keys (first clip << 32 | second clip, the first less than the second) and values (see `unpacked`), by rising key.
    """
    sorting = Sorting(number)
    entries = DiskSort(scratch / "entries")
    for block in store.blocks():
        for inner, words in ((0, WHOLE), (1, INNER)):
            entries.add(*_entries(block, store.is_informative, sorting, inner, words))
    found = DiskSort(scratch / "hits")
    tail = np.empty(0, np.uint64), np.empty(0, np.uint64)
    for keys, values in entries.blocks():
        keys, values = np.concatenate([tail[0], keys]), np.concatenate([tail[1], values])
        for step in range(1, _WINDOW + 1):
            # A pair within the tail was met with the block before.
            first = max(0, len(tail[0]) - step)
            found.add(*_met(keys[first:], values[first:], step, groups))
        tail = keys[-_WINDOW:], values[-_WINDOW:]
    yield from found.blocks()


def _entries(
    block: Block, is_informative: np.ndarray, sorting: Sorting, inner: int, words: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Keys, and values (clip, place, inner, turned) of the frames of a block that are entered."""
    first = block.frames[:, words]
    used = (first != 0).any(1) & is_informative[block.clips] & ((block.places % 2 == 0) | (block.lengths <= _SPARSE_ROWS))
    keys, is_turned = sorting.keys(first[used, 0])
    values = block.clips[used].astype(np.uint64) << _ROWS_AT
    values |= block.places[used].astype(np.uint64) << np.uint64(2)
    values |= np.uint64(inner << 1) | is_turned
    return keys, values


def _met(keys: np.ndarray, values: np.ndarray, step: int, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hits among entries `step` apart."""
    close = np.bitwise_count(keys[:-step] ^ keys[step:]) <= _MAX_DIFFERING_BITS
    a, b = values[:-step][close], values[step:][close]
    swapped = a > b
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    clip_a, clip_b = (a >> _ROWS_AT).astype(np.int64), (b >> _ROWS_AT).astype(np.int64)
    both_inner = (a & b & np.uint64(2)) != 0  # of two copies of one crop the whole pictures meet
    kept = (groups[clip_a] != groups[clip_b]) & ~both_inner
    a, b = a[kept], b[kept]
    offset = _place(a) - _place(b) + MAX_ROWS
    keys = (clip_a[kept].astype(np.uint64) << np.uint64(32)) | clip_b[kept].astype(np.uint64)
    return keys, (offset.astype(np.uint64) << _ONE) | ((a ^ b) & _ONE)


def _place(values: np.ndarray) -> np.ndarray:
    return (values >> np.uint64(2) & np.uint64(MAX_ROWS - 1)).astype(np.int64)


def unpacked(value: int) -> tuple[int, bool]:
    """Offset in rows and whether one is mirrored, of a value of `hits`."""
    return (value >> 1) - MAX_ROWS, bool(value & 1)
