"""The candidate on parts of the test set: by scenario, weather, light, and kind of negative."""

from collections.abc import Callable, Iterator, Mapping, Sequence

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
    has_crashes = any(clip.is_crash for clip in clips)
    for label, value in NEGATIVES.items():
        if has_crashes and any(clip.label == label for clip in clips):
            yield "negatives", value, {clip.clip_id for clip in clips if clip.label in ("crash", label)}


def slice_estimates(
    clips: Sequence[Clip],
    values: dict[str, ClipValues],
    num_resamples: int,
    seed: int,
    groups: Mapping[str, str] | None = None,
) -> list[SliceEstimate]:
    """Estimates of the metrics on every part on which they are defined, however small it is (see `n`).

    Args:
        clips: the test set.
        values: clip scores of the candidate by metric.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        groups: group by clip_id, where groups are resampled.
    """
    found = []
    for dimension, value, members in parts(clips):
        for metric, whole in values.items():
            inside = np.array([clip_id in members for clip_id in whole.clip_ids], dtype=bool)
            named = [groups[clip_id] for clip_id in whole.clip_ids if clip_id in members] if groups else None
            part = metric_estimate(metric, whole.targets[inside], whole.values[inside], num_resamples, seed, named)
            if part is not None:
                found.append(SliceEstimate(dimension=dimension, value=value, metric=metric, estimate=part))
    return found
