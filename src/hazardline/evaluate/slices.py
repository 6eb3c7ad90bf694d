"""The candidate on parts of the test set: by scenario, weather, light, and kind of negative."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hazardline.evaluate.bootstrap import metric_estimate
from hazardline.evaluate.document import SliceEstimate
from hazardline.evaluate.scoring import ClipValues
from hazardline.evaluate.testset import Clip

SLICED_METRICS = ("recognition_macro_f1", "recognition_accuracy", "crash_miou")
_DIMENSIONS: dict[str, Callable[[Clip], str]] = {
    "scenario": lambda clip: clip.scenario,
    "weather": lambda clip: clip.weather,
    "light": lambda clip: clip.light,
}
NEGATIVES = {"near_miss": "crash and near miss", "normal": "crash and normal"}
"""Label of the negatives to the value of the dimension `negatives`: all crashes against these negatives alone."""


def parts(clips: Sequence[Clip]) -> Iterator[tuple[str, str, set[str]]]:
    """Dimension, value and the clip_ids of every part, in order of dimension and value."""
    for dimension, value_of in _DIMENSIONS.items():
        for value in sorted({value_of(clip) for clip in clips}):
            yield dimension, value, {clip.clip_id for clip in clips if value_of(clip) == value}
    for label, value in NEGATIVES.items():
        if any(clip.label == label for clip in clips):
            yield "negatives", value, {clip.clip_id for clip in clips if clip.label in ("crash", label)}


def slice_estimates(
    clips: Sequence[Clip], values: dict[str, ClipValues], num_resamples: int, seed: int
) -> list[SliceEstimate]:
    """Estimates of `SLICED_METRICS` on every part on which they are defined, however small it is (see `n`).

    Args:
        clips: the test set.
        values: clip scores of the candidate by metric.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    found = []
    for dimension, value, members in parts(clips):
        for metric in SLICED_METRICS:
            whole = values[metric]
            inside = np.array([clip_id in members for clip_id in whole.clip_ids], dtype=bool)
            part = metric_estimate(metric, whole.targets[inside], whole.values[inside], num_resamples, seed)
            if part is not None:
                found.append(SliceEstimate(dimension=dimension, value=value, metric=metric, estimate=part))
    return found
