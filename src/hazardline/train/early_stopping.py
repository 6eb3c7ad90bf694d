"""When a branch has learned what it will learn: CrashChat's rule, as functions of the measurements so far."""

from collections.abc import Sequence

from hazardline.train.document import ValidationLosses


def best(measured: Sequence[ValidationLosses]) -> ValidationLosses:
    """The measurement of the lowest mean loss, the first of equals. ValueError where there is none."""
    return min(measured, key=lambda point: point.mean)


def is_over(measured: Sequence[ValidationLosses], patience: int, threshold: float) -> bool:
    """Whether the last `patience` measurements did not fall below the best before each by more than `threshold`."""
    lowest, idle = float("inf"), 0
    for point in measured:
        idle = 0 if point.mean < lowest - threshold else idle + 1
        lowest = min(lowest, point.mean)
    return idle >= patience
