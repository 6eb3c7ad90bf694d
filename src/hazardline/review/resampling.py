"""Figures with their bootstrap intervals, clustered by clip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hazardline.evaluate.bootstrap import HIGH_PERCENT, LOW_PERCENT, resample_weights
from hazardline.evaluate.scores import Array
from hazardline.review.review_document import Figure

Score = Callable[[Array], Array]
"""Weights (r, n) of n items to values (r,); NaN where not defined."""


@dataclass(frozen=True)
class ClipBootstrap:
    """Whole clips are drawn, so that what several reviewers say of one clip stays together."""

    num_resamples: int
    seed: int

    def figure(self, score: Score, clip_ids: Sequence[str]) -> Figure:
        """A score of items with its interval.

        Args:
            score: of the items under weights.
            clip_ids: the clip of each item.
        """
        num_clips = len(set(clip_ids))
        if not clip_ids:
            return Figure(value=None, low=None, high=None, num_clips=0, num_ratings=0, undefined_share=1.0)
        value = float(score(np.ones((1, len(clip_ids))))[0])
        drawn = np.concatenate(
            [
                score(weights)
                for weights in resample_weights(len(clip_ids), None, self.num_resamples, self.seed, list(clip_ids))
            ]
        )
        defined = drawn[np.isfinite(drawn)]
        is_defined = bool(np.isfinite(value)) and len(defined) > 0
        low, high = np.percentile(defined, [LOW_PERCENT, HIGH_PERCENT]) if is_defined else (0.0, 0.0)
        return Figure(
            value=value if is_defined else None,
            low=float(low) if is_defined else None,
            high=float(high) if is_defined else None,
            num_clips=num_clips,
            num_ratings=len(clip_ids),
            undefined_share=1.0 - len(defined) / len(drawn),
        )

    def mean(self, values: Sequence[float], clip_ids: Sequence[str]) -> Figure:
        """The mean of values, an item each."""
        found = np.asarray(values, dtype=np.float64)
        return self.figure(lambda weights: weights @ found / weights.sum(axis=1), clip_ids)
