"""Neighbours across splits: is the test set nearer to the training set than training clips are to one another?

Perceptual hashes find copies. What was cut from one recording that nobody named looks alike in cheap features only. If
groups are independent, a test clip's nearest training clip is as far as a training clip's nearest one of another
group: one test clip in twenty lies within the distance that one training clip in twenty lies within.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hazardline.split.findings import Finding, Severity, found, not_measured
from hazardline.split.resampling import interval

EXPECTED_SHARE = 0.05
MANY = 0.1
MOST = 0.25
MIN_CLIPS = 40
_EXACT = 1e-9


@dataclass(frozen=True)
class Probe:
    """Clips whose nearest training clip is looked for."""

    features: np.ndarray
    """(k, d)."""
    groups: np.ndarray
    """Group number (k) of each clip in the whole data set."""
    is_test: np.ndarray
    """(k, bool): a test clip; else a training clip."""


def nearest_train(
    probe: Probe, stretches: Iterable[tuple[np.ndarray, np.ndarray]], scale: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Distance (k) of each probe clip to the nearest training clip of another group.

    Args:
        probe: The clips.
        stretches: Features (m, d) and group numbers (m) of training clips, all of them in turn.
        scale: Mean and deviation (d) of the features.
    """
    mean, deviation = scale
    ours = ((probe.features - mean) / deviation).astype(np.float32)
    nearest = np.full(len(ours), np.inf, np.float32)
    for features, groups in stretches:
        theirs = ((features - mean) / deviation).astype(np.float32)
        squares = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T
        squares[probe.groups[:, None] == groups] = np.inf
        np.minimum(nearest, squares.min(1, initial=np.inf), out=nearest)
    return np.sqrt(np.maximum(nearest, 0))


def nearness_finding(distances: np.ndarray, probe: Probe, seed: int) -> Finding:
    """Compare test clips with training clips."""
    test, train = distances[probe.is_test], distances[~probe.is_test]
    counts = {"num_test_clips": float(len(test)), "num_train_clips": float(len(train))}
    if min(len(test), len(train)) < MIN_CLIPS or not np.isfinite(distances).all():
        sentence = (
            f"{len(test)} test and {len(train)} training clips; to compare their nearest neighbours takes "
            f"{MIN_CLIPS} of each, and more than one group of training clips."
        )
        return not_measured("test_near_train", "warning", sentence, counts)
    limit = float(np.quantile(train, EXPECTED_SHARE)) + _EXACT
    groups = np.unique(probe.groups[probe.is_test], return_inverse=True)[1]
    share, low, high = interval(lambda c: c[:, 1] / c.sum(1), (test <= limit).astype(int), 2, groups, seed)
    severity: Severity = "serious" if low > MOST else "warning" if low > MANY else "info"
    counts |= {"limit_distance": limit, "median_test_distance": float(np.median(test))}
    counts |= {"median_train_distance": float(np.median(train))}
    sentence = (
        f"{share:.1%} [{low:.1%}, {high:.1%}] of the test clips lie as near to a training clip, in colour, motion and "
        f"length, as {EXPECTED_SHARE:.0%} of the training clips lie to one of another group."
    )
    remedy = (
        "Look for recordings or channels that the annotations do not name, give them as recording_id or channel_id, "
        "and split again."
    )
    return found("test_near_train", severity, sentence, counts, remedy, (share, low, high))
