"""95 % percentile intervals by bootstrap over clips, and of the difference between two models on the same clips.

The questions of one clip are not independent, so whole clips are resampled; the images of one scene are not either, so
where groups are given whole groups are. Weights are drawn as multinomial counts; a metric with two labels keeps the
number of clips of each label (stratified).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hazardline.errors import UserError
from hazardline.evaluate.document import Estimate
from hazardline.evaluate.hazard_scored import HAZARD_CLIP_METRICS
from hazardline.evaluate.scored import CLIP_METRICS, Resampled
from hazardline.evaluate.scores import Array

LOW_PERCENT, HIGH_PERCENT = 2.5, 97.5
_CHUNK = 250  # resamples held in memory at once
ALL_CLIP_METRICS = {**CLIP_METRICS, **HAZARD_CLIP_METRICS}
"""The metrics of every suite that are computed from clip scores; no name stands for two of them."""


def resample_weights(
    num_clips: int, strata: Array | None, num_resamples: int, seed: int, groups: Sequence[str] | None = None
) -> Iterator[Array]:
    """How often each resample holds each clip, in chunks (r, num_clips), r summing to `num_resamples`.

    Args:
        num_clips: clips to draw from, and to draw.
        strata: a label for each clip, the number of each of which every resample keeps; None to keep none.
        num_resamples: resamples.
        seed: the same seed gives the same weights.
        groups: the group of each clip: as many whole groups are drawn as there are. Not together with strata.
    """
    if groups is not None:
        assert strata is None, "groups are drawn whole, so they cannot keep the number of clips of a label"
        names, member_of = np.unique(np.array(groups), return_inverse=True)
        for weights in resample_weights(len(names), None, num_resamples, seed):
            yield weights[:, member_of]
        return
    rng = np.random.default_rng(seed)
    parts = [np.arange(num_clips)] if strata is None else [np.flatnonzero(strata == s) for s in np.unique(strata)]
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        weights = np.zeros((size, num_clips))
        for members in parts:
            share = np.full(len(members), 1.0 / len(members))
            weights[:, members] = rng.multinomial(len(members), share, size=size)
        yield weights


def estimate(
    score: Resampled,
    num_clips: int,
    strata: Array | None,
    num_resamples: int,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Estimate:
    """A score of weighted clips with its interval.

    Args:
        score: from weights (r, num_clips) to values (r,); it is called with ones for the value itself.
        num_clips: at least 1.
        strata: as in `resample_weights`.
        num_resamples: resamples.
        seed: of the weights.
        groups: as in `resample_weights`.
    """
    value = float(score(np.ones((1, num_clips)))[0])
    drawn = [score(weights) for weights in resample_weights(num_clips, strata, num_resamples, seed, groups)]
    low, high = np.percentile(np.concatenate(drawn), [LOW_PERCENT, HIGH_PERCENT])
    return Estimate(value=value, low=float(low), high=float(high), n=num_clips)


def metric_estimate(
    metric: str,
    targets: Array,
    values: Array,
    num_resamples: int,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Estimate | None:
    """The estimate of a metric of `ALL_CLIP_METRICS` from its targets and values (and groups), a clip each.

    Returns:
        None where it is not defined: no clip, or one label only for a metric that compares two.
    """
    info = ALL_CLIP_METRICS[metric]
    if not len(targets) or (info.is_stratified and len(np.unique(targets)) < 2):
        return None
    strata = targets if info.is_stratified else None
    return estimate(lambda w: info.score(targets, values, w), len(targets), strata, num_resamples, seed, groups)


def paired_difference(
    scores_a: Sequence[Mapping[str, Any]],
    scores_b: Sequence[Mapping[str, Any]],
    metric: str,
    num_resamples: int = 1000,
    seed: int = 0,
    groups: Mapping[str, str] | None = None,
) -> Estimate:
    """Metric of model A minus metric of model B, both on the same resampled clips (or groups of clips).

    Args:
        scores_a: rows of the clip scores table of one model; rows of other metrics are ignored.
        scores_b: the same of the other model.
        metric: a name of `ALL_CLIP_METRICS`.
        num_resamples: resamples.
        seed: of the weights.
        groups: group by clip_id (`Evaluation.groups`); None or empty where clips stand alone.

    Raises:
        UserError: the metric has no clip scores, or the two were not scored on the same clips with the same truth.
    """
    if metric not in ALL_CLIP_METRICS:
        raise UserError(
            f"{metric}: cannot be compared clip by clip; metrics with clip scores: {', '.join(ALL_CLIP_METRICS)}"
        )
    rows_a, rows_b = _by_clip(scores_a, metric, "first"), _by_clip(scores_b, metric, "second")
    clips = sorted(rows_a)
    if clips != sorted(rows_b) or any(rows_a[clip]["target"] != rows_b[clip]["target"] for clip in clips):
        raise UserError(
            f"{metric}: the two models were not scored on the same clips with the same reference answers "
            f"({len(rows_a)} and {len(rows_b)} clips); evaluate both on one test set"
        )
    info = ALL_CLIP_METRICS[metric]
    targets = np.array([rows_a[clip]["target"] for clip in clips], dtype=np.float64)
    values = [np.array([rows[clip]["value"] for clip in clips], dtype=np.float64) for rows in (rows_a, rows_b)]
    if info.is_stratified and len(np.unique(targets)) < 2:
        raise UserError(f"{metric}: the clips have one label only, so it is not defined")
    return estimate(
        lambda w: np.asarray(info.score(targets, values[0], w) - info.score(targets, values[1], w)),
        len(clips),
        targets if info.is_stratified else None,
        num_resamples,
        seed,
        [groups[clip] for clip in clips] if groups else None,
    )


def _by_clip(rows: Sequence[Mapping[str, Any]], metric: str, which: str) -> dict[str, Mapping[str, Any]]:
    chosen = [row for row in rows if row["metric"] == metric]
    found = {row["clip_id"]: row for row in chosen}
    if not found:
        raise UserError(f"{metric}: the {which} model has no clip scores for it; evaluate it again")
    if len(found) != len(chosen):
        raise UserError(f"{metric}: the {which} model has two scores for one clip; pass the rows of one model")
    return found
