"""What is cheap to see in a clip: its fingerprint for duplicates, and the features that the leakage audit reads.

All of it comes from one pass over the clip's frames, small and at a low rate.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from hazardline.ingest import fingerprints
from hazardline.tables import Table

RATE_HZ = 5.0
WIDTH_PX = 144
HEIGHT_PX = 96
_LUMA_BINS = 8
_POOL = 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

FEATURES = Table(
    "clip_features@1",
    "features.parquet",
    pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("first_colour", pa.list_(pa.float64()), nullable=False),
            pa.field("clip_colour", pa.list_(pa.float64()), nullable=False),
            pa.field("motion_energy", pa.list_(pa.float64()), nullable=False),
        ]
    ),
)
"""Colour: mean and deviation of R, G, B, then 8 shares of a luma histogram, in 0..1. Motion energy: mean, deviation,
maximum of the mean absolute luma difference between frames 0.2 s apart, and where the maximum lies, all in 0..1."""


@dataclass(frozen=True)
class ClipFeatures:
    """One row of the table, without its key."""

    first_colour: list[float]
    clip_colour: list[float]
    motion_energy: list[float]


class Observer:
    """Collects fingerprint and features from the sampled frames of a clip, one at a time (2.6 kB are kept of each)."""

    def __init__(self) -> None:
        """Have seen nothing."""
        self._small: list[np.ndarray] = []

    def see(self, frame: np.ndarray) -> None:
        """Take the next frame, a uint8 (HEIGHT_PX, WIDTH_PX, 3) array."""
        self._small.append(np.asarray(Image.fromarray(frame).reduce(_POOL)))

    def fingerprint(self) -> bytes:
        """A value of the column `frames` of `hazardline.ingest.fingerprints.FINGERPRINTS`."""
        return fingerprints.fingerprint(np.stack(self._small) @ _LUMA).astype("<u8").tobytes()

    def features(self) -> ClipFeatures:
        """The features of all frames seen."""
        small = np.stack(self._small)  # uint8 (T, h, w, 3)
        luma = small @ _LUMA / 255
        energies = np.abs(np.diff(luma, axis=0)).mean((1, 2)) if len(luma) > 1 else np.zeros(1)
        peak = float(energies.argmax()) / max(1, len(energies) - 1)
        motion = [energies.mean(), energies.std(), energies.max(), peak]
        return ClipFeatures(_colour(small[:1], luma[:1]), _colour(small, luma), _rounded(motion))


def _colour(small: np.ndarray, luma: np.ndarray) -> list[float]:
    """14 numbers over some frames: mean and deviation of R, G, B, and a luma histogram."""
    pixels = small.reshape(-1, 3) / np.float32(255)
    bins = np.minimum((luma * _LUMA_BINS).astype(np.intp), _LUMA_BINS - 1)
    shares = np.bincount(bins.ravel(), minlength=_LUMA_BINS) / bins.size
    return _rounded([*pixels.mean(0), *pixels.std(0), *shares])


def _rounded(values: list[float]) -> list[float]:
    """Six decimals: sums in another order (on another processor) give the same table."""
    return [round(float(value), 6) for value in values]
