"""The scores as pure functions: of one answer, and of many clips at once under bootstrap weights.

The second kind take `weights` (resamples, clips), how often each resample holds each clip, and return one value a
resample; a row of ones gives the score itself. So an estimate and its interval come from the same lines.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Interval = tuple[float, float]
WeightedScore = Callable[[Array, Array, Array], Array]
"""(targets (n,), values (n,), weights (r, n)) -> (r,)."""

UNPARSABLE = -1.0
"""The predicted class of an answer that cannot be parsed: it is no class, so it is always wrong."""
TOLERANCE_S = 0.5
"""The window before the pre-crash point in which an early answer counts fully (CrashChat)."""
IOU_THRESHOLDS = {"crash_ap30": 0.3, "crash_ap50": 0.5, "crash_ap70": 0.7}
_EPSILON_S = 1e-9  # 1.1 - 0.5 > 0.6 in floating point; answers are given at 0.1 s


def interval_iou(predicted: Interval | None, true: Interval) -> float:
    """Intersection over union of two intervals in seconds, ends in any order; 0 for an unparsable answer."""
    if predicted is None:
        return 0.0
    low, high = min(predicted), max(predicted)
    true_low, true_high = min(true), max(true)
    overlap = max(0.0, min(high, true_high) - max(low, true_low))
    union = (high - low) + (true_high - true_low) - overlap
    if union <= 0.0:
        return 1.0 if low == true_low else 0.0
    return overlap / union


def reaches(iou: float, threshold: float) -> bool:
    """Whether an IoU counts for AP at a threshold (>=, up to rounding of the ends' decimals)."""
    return iou >= threshold - _EPSILON_S


def pre_crash_score(
    predicted_s: float | None, true_s: float, crash_start_s: float, tolerance_s: float = TOLERANCE_S
) -> float | None:
    """CrashChat's pre-crash score of one clip.

    With truth t, answer p, crash start a and tolerance d: 0 for p >= a or p < t - d; 1 for t - d <= p < t; else
    (a - p) / (a - t).

    Returns:
        None for a clip to skip (a <= t); 0 for an unparsable answer.
    """
    if crash_start_s <= true_s + _EPSILON_S:
        return None
    if predicted_s is None or predicted_s >= crash_start_s - _EPSILON_S:
        return 0.0
    if predicted_s < true_s - tolerance_s - _EPSILON_S:
        return 0.0
    if predicted_s < true_s:
        return 1.0
    return (crash_start_s - predicted_s) / (crash_start_s - true_s)


def time_to_accident_s(time_s: float | None, crash_start_s: float) -> float:
    """Seconds of warning before the crash; 0 for a time after it, or none."""
    return 0.0 if time_s is None else max(0.0, crash_start_s - time_s)


def mean(targets: Array, values: Array, weights: Array) -> Array:
    """Weighted mean of the values; the targets are not looked at."""
    return np.asarray((weights @ values) / weights.sum(axis=1))


def accuracy(targets: Array, values: Array, weights: Array) -> Array:
    """Share of clips whose predicted class is the true one."""
    return mean(targets, (targets == values).astype(np.float64), weights)


def f1_of_class(targets: Array, values: Array, weights: Array, label: float) -> Array:
    """F1 of one class; 0 where it is neither present nor predicted."""
    hit = weights @ ((targets == label) & (values == label)).astype(np.float64)
    present = weights @ (targets == label).astype(np.float64)
    predicted = weights @ (values == label).astype(np.float64)
    total = present + predicted
    return np.asarray(np.divide(2.0 * hit, total, out=np.zeros_like(total), where=total > 0))


def binary_f1(targets: Array, values: Array, weights: Array) -> Array:
    """F1 of the class 1 (a crash)."""
    return f1_of_class(targets, values, weights, 1.0)


def macro_f1(targets: Array, values: Array, weights: Array) -> Array:
    """Mean F1 of the classes 0 and 1."""
    both = [f1_of_class(targets, values, weights, label) for label in (0.0, 1.0)]
    return np.asarray(np.mean(both, axis=0))


def class_macro_f1(targets: Array, values: Array, weights: Array) -> Array:
    """Mean F1 over the classes that are present among the targets of a resample (classes are numbers)."""
    total = np.zeros(len(weights))
    count = np.zeros(len(weights))
    for label in np.unique(targets):
        present = weights @ (targets == label).astype(np.float64) > 0
        total += np.where(present, f1_of_class(targets, values, weights, float(label)), 0.0)
        count += present
    return np.asarray(total / count)


def class_weighted_f1(targets: Array, values: Array, weights: Array) -> Array:
    """F1 of the classes among the targets, each weighted by its share of a resample (classes are numbers)."""
    total = np.zeros(len(weights))
    for label in np.unique(targets):
        support = weights @ (targets == label).astype(np.float64)
        total += support * f1_of_class(targets, values, weights, float(label))
    return np.asarray(total / weights.sum(axis=1))


def ratio(targets: Array, values: Array, weights: Array) -> Array:
    """Sum of the values over the sum of the targets: a share where a clip has several questions."""
    return np.asarray((weights @ values) / (weights @ targets))


def roc_auc(targets: Array, values: Array, weights: Array) -> Array:
    """Area under the ROC curve of the values for target 1 against target 0; ties count one half."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) > 0]))
    is_positive = targets[order] == 1.0
    positive = np.add.reduceat(weights[:, order] * is_positive, starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~is_positive, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + 0.5 * negative)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.asarray(np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0))


def single(score: WeightedScore, targets: Array, values: Array) -> float:
    """A weighted score of the clips as they are."""
    return float(score(targets, values, np.ones((1, len(targets))))[0])
