"""A clip's fingerprint: perceptual hashes of its pictures over time, by which near duplicates are found.

A frame's hash is the signs of the low frequencies of its luma (Zauner 2010, pHash) under a window that fades out to the
borders, so that a watermark in a corner or a cut border weighs little; without the mean and free of scale, so that
brightness and contrast do not matter. A mirrored picture has the same signs but for the odd horizontal frequencies
(`MIRROR`). The same hash of the inner nine tenths meets copies that were cropped. What moved within the next second has
a hash of its own: by it clips of one fixed camera differ (docs/adr/0014).
"""

import numpy as np
import pyarrow as pa

from hazardline.tables import Table

WIDTH_PX = 36
HEIGHT_PX = 24
FRAMES_A_FINGERPRINT = 2
"""Of the frames that come in at 5 Hz every second one has a row, so 2.5 rows are a second of a clip."""
RATE_HZ = 2.5
HASH_WORDS = 3
WHOLE = slice(0, 3)
INNER = slice(3, 6)
WHOLE_CHANGE = 6
INNER_CHANGE = 7
NUM_WORDS = 8
"""A row has 8 words of 64 bits: 3 of the whole picture, 3 of its inner part, and one each of what changes in them."""

_NUM_BITS = 64 * HASH_WORDS
_INNER_MARGIN = 0.05
_WINDOW_POWER = 3
_ASPECT = 1.5
_SMOOTHING = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
"""Over frames at 5 Hz: a copy that begins between two of them still gives nearly the same hashes."""
_CHANGE_FRAMES = 5
_LEAST_AMPLITUDE = 0.25
"""Grey levels under which a frequency counts as noise."""
_LEAST_SHARE = 0.5
"""A picture with fewer frequencies above the noise (black, fog, a plain title) is blank: its words are 0."""
_LEAST_CHANGE = 0.5
"""Root mean square in grey levels under which nothing moved: the word is 0."""

ROWS_PER_GROUP = 4096
"""Clips that a writer holds: some kB each."""

FINGERPRINTS = Table(
    "fingerprints@1",
    "fingerprints.parquet",
    pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("frames", pa.binary(), nullable=False),
        ]
    ),
)
"""`frames`: little-endian uint64 (rows, 8), a row for 0, 0.4, 0.8 ... seconds of the clip; see `frames_of`."""


def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Vertical and horizontal number of the lowest frequencies, the lowest first, without the mean."""
    pairs = [(ky, kx) for ky in range(HEIGHT_PX) for kx in range(WIDTH_PX) if ky + kx > 0]
    pairs.sort(key=lambda pair: ((pair[1] / _ASPECT) ** 2 + pair[0] ** 2, pair))
    rows, columns = np.array(pairs[:_NUM_BITS]).T
    return rows, columns


_ROWS, _COLUMNS = _frequencies()


def _packed(bits: np.ndarray) -> np.ndarray:
    """Booleans (T, 64 n) -> uint64 (T, n); bit k of a word is its frequency k."""
    words: np.ndarray = np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little")).view("<u8")
    return words


MIRROR = _packed((_COLUMNS % 2 == 1)[None])[0]
"""uint64 (3,): the bits that flip when a picture is mirrored; the first word is also that of a change."""


def _basis(num: int, size: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Windowed cosines (num, size) over the part between the margins, of length 1, and the window (size,)."""
    place = ((np.arange(size) + 0.5) / size - margin) / (1 - 2 * margin)
    window = np.where((place > 0) & (place < 1), np.sin(np.pi * np.clip(place, 0, 1)), 0) ** _WINDOW_POWER
    cosines = np.cos(np.pi * np.arange(num)[:, None] * place) * window
    return cosines / np.linalg.norm(cosines, axis=1, keepdims=True), window / window.sum()


class _Transform:
    """The low frequencies of one part of a picture."""

    def __init__(self, margin: float) -> None:
        self._rows, self._row_window = _basis(int(_ROWS.max()) + 1, HEIGHT_PX, margin)
        self._columns, self._column_window = _basis(int(_COLUMNS.max()) + 1, WIDTH_PX, margin)

    def __call__(self, luma: np.ndarray) -> np.ndarray:
        """Float (T, h, w) -> (T, 192), in grey levels."""
        mean = np.einsum("thw,h,w->t", luma, self._row_window, self._column_window)
        waves = self._rows @ (luma - mean[:, None, None]) @ self._columns.T
        chosen: np.ndarray = waves[:, _ROWS, _COLUMNS]
        return chosen


_PARTS = (_Transform(0.0), _Transform(_INNER_MARGIN))


def fingerprint(luma: np.ndarray) -> np.ndarray:
    """The fingerprint of a clip.

    Args:
        luma: float (T, 24, 36), 0..255, frames at 5 Hz; an image is one frame.

    Returns:
        uint64 (ceil(T / 2), 8).
    """
    rows = np.zeros((-(-len(luma) // FRAMES_A_FINGERPRINT), NUM_WORDS), np.uint64)
    for part, words, change_word in zip(_PARTS, (WHOLE, INNER), (WHOLE_CHANGE, INNER_CHANGE), strict=True):
        waves = _smoothed(part(luma.astype(np.float64)))
        kept = waves[::FRAMES_A_FINGERPRINT]
        told = (np.abs(kept) > _LEAST_AMPLITUDE).mean(1) >= _LEAST_SHARE
        rows[:, words] = np.where(told[:, None], _packed(kept > 0), 0)
        changes = (waves[_CHANGE_FRAMES:] - waves[:-_CHANGE_FRAMES])[::FRAMES_A_FINGERPRINT]
        moved = np.sqrt((changes**2).mean(1)) > _LEAST_CHANGE
        rows[: len(changes), change_word] = np.where(moved, _packed(changes[:, :64] > 0)[:, 0], 0)
    return rows


def _smoothed(waves: np.ndarray) -> np.ndarray:
    """Weighted mean over neighbouring frames (T, n); at the ends over those that there are."""
    half = len(_SMOOTHING) // 2
    padded = np.pad(waves, ((half, half), (0, 0)))
    present = np.pad(np.ones(len(waves)), half)
    total = sum(weight * padded[k : k + len(waves)] for k, weight in enumerate(_SMOOTHING))
    return np.asarray(total / np.convolve(present, _SMOOTHING, "valid")[:, None])


def frames_of(data: bytes) -> np.ndarray:
    """uint64 (rows, 8) of a value of the column `frames`."""
    return np.frombuffer(data, "<u8").reshape(-1, NUM_WORDS)
