"""The leakage audit: how well cheap features, which show nothing of the event, predict the label on held-out groups.

A model can score well on a leaking data set without looking at the traffic. For each feature set and comparison a small
classifier is cross-validated by group; a pair of clips is ranked within its own fold only, because scores of different
folds are not comparable. Intervals are bootstrapped over groups.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hazardline.documents import Document

FeatureName = Literal[
    "first_frame_colour",
    "clip_colour",
    "length",
    "file_size",
    "codec_resolution_source",
    "motion_energy",
    "technical",
]
Comparison = Literal["crash_vs_near_miss", "crash_vs_normal", "crash_vs_rest", "near_miss_vs_normal"]
Verdict = Literal["ok", "leaks", "not_measured"]

AGAINST: Mapping[Comparison, tuple[str, ...]] = {
    "crash_vs_near_miss": ("near_miss",),
    "crash_vs_normal": ("normal",),
    "crash_vs_rest": ("near_miss", "normal"),
}
"""What a crash is told from. In data without crashes (images), near misses are told from normal driving."""
WITHOUT_CRASHES: Comparison = "near_miss_vs_normal"

NUM_FOLDS = 5
MAX_WORDS = 200
"""A codec, frame size, rate or source of fewer than one clip in so many is not told apart from others of its kind."""
NUM_RESAMPLES = 500
MIN_CLIPS = 15
"""Clips of each class, at least, for a comparison to be measured."""


class LeakageRow(Document):
    """How well one feature set tells crashes (or near misses, in data without crashes) from others."""

    feature: FeatureName
    comparison: Comparison
    auc: float | None
    low: float | None
    """95 % interval, by bootstrap over groups."""
    high: float | None
    num_crash: int
    num_other: int
    num_groups: int
    verdict: Verdict
    """`leaks` where the whole interval lies above the limit."""


@dataclass(frozen=True)
class AuditData:
    """Clips in the order of their ids: labels and groups (n), and a matrix (n, d) for every feature set."""

    labels: np.ndarray
    groups: np.ndarray
    features: Mapping[FeatureName, np.ndarray]


def audit_data(
    scenes: Sequence[Mapping[str, Any]], features: Sequence[Mapping[str, Any]], groups: Mapping[str, str]
) -> AuditData:
    """Bring the tables of ingest into one order and into matrices."""
    rows = sorted(scenes, key=lambda row: str(row["clip_id"]))
    seen = {row["clip_id"]: row for row in features}
    made = [(f"codec {r['codec']}", f"size {r['width_px']}x{r['height_px']}", f"rate {r['fps']:.2f}") for r in rows]
    from_source = [(*words, f"from {r['source']}") for words, r in zip(made, rows, strict=True)]
    lengths = [[r["duration_s"], float(r["num_frames"])] for r in rows]
    sizes = [[np.log(r["size_bytes"]), np.log(r["size_bytes"] / (r["duration_s"] or 1.0))] for r in rows]
    shapes = [[r["fps"], float(r["width_px"]), float(r["height_px"]), np.log(_bits_per_pixel(r))] for r in rows]
    first = [seen[r["clip_id"]]["first_colour"] for r in rows]
    matrices: dict[FeatureName, list[list[float]]] = {
        "first_frame_colour": first,
        "clip_colour": [seen[r["clip_id"]]["clip_colour"] for r in rows],
        "length": lengths,
        "file_size": sizes,
        "codec_resolution_source": _indicators(from_source),
        "motion_energy": [seen[r["clip_id"]]["motion_energy"] for r in rows],
        "technical": [
            [*parts[0], *parts[1], *parts[2], *parts[3], *parts[4]]
            for parts in zip(_indicators(made), lengths, sizes, shapes, first, strict=True)
        ],
    }
    return AuditData(
        np.array([r["label"] for r in rows]),
        np.array([groups[r["clip_id"]] for r in rows]),
        {name: np.array(values, float) for name, values in matrices.items()},
    )


def _bits_per_pixel(row: Mapping[str, Any]) -> float:
    pixels = float(row["num_frames"] * row["width_px"] * row["height_px"])
    return 8 * float(row["size_bytes"]) / max(1.0, pixels)


def _indicators(kinds: Sequence[tuple[str, ...]]) -> list[list[float]]:
    """One column a word, in the order of the words; words of few clips say little and have none."""
    counts = Counter(word for kind in kinds for word in kind)
    words = sorted(word for word, count in counts.items() if count * MAX_WORDS >= len(kinds))
    return [[float(word in kind) for word in words] for kind in kinds]


def audit(data: AuditData, limit_auc: float, seed: int = 0) -> list[LeakageRow]:
    """All feature sets of the data in all comparisons; the same data and seed give the same numbers."""
    comparisons = tuple(AGAINST) if "crash" in data.labels else (WITHOUT_CRASHES,)
    with threadpool_limits(1):  # for so little work, threads that wait for one another cost more than they do
        return [
            _row(data, feature, comparison, limit_auc, seed) for comparison in comparisons for feature in data.features
        ]


def _row(data: AuditData, feature: FeatureName, comparison: Comparison, limit_auc: float, seed: int) -> LeakageRow:
    label, others = ("near_miss", ("normal",)) if comparison == WITHOUT_CRASHES else ("crash", AGAINST[comparison])
    chosen = np.isin(data.labels, [label, *others])
    target = data.labels[chosen] == label
    groups = np.unique(data.groups[chosen], return_inverse=True)[1]
    num_groups = [len(np.unique(groups[target == side])) for side in (True, False)]
    interval: tuple[float, float, float] | None = None
    if min(target.sum(), (~target).sum()) >= MIN_CLIPS and min(num_groups) >= NUM_FOLDS:
        scores, folds = held_out_scores(data.features[feature][chosen], target, groups, seed)
        interval = auc_interval(scores, target, groups, folds, seed)
    auc, low, high = interval if interval is not None else (None, None, None)
    leaks = low is not None and low > limit_auc
    return LeakageRow(
        feature=feature,
        comparison=comparison,
        auc=auc,
        low=low,
        high=high,
        num_crash=int(target.sum()),
        num_other=int((~target).sum()),
        num_groups=len(np.unique(groups)),
        verdict="leaks" if leaks else "ok" if interval is not None else "not_measured",
    )


def held_out_scores(
    matrix: np.ndarray, target: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n) of classifiers that never saw the row's group, and the fold (n) of each row.

    The score is the mean log-odds of a standardised logistic regression (good with few clips) and of small boosted
    trees (which also see what is not monotonous, such as one exact length).
    """
    scores, folds = np.zeros(len(target)), np.zeros(len(target), int)
    splitter = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for fold, (fit, held) in enumerate(splitter.split(matrix, target, groups)):
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
        trees = HistGradientBoostingClassifier(
            max_iter=40,
            max_depth=3,
            min_samples_leaf=max(5, min(20, len(fit) // 20)),
            early_stopping=False,
            random_state=seed,
        )
        for model in (linear, trees):
            model.fit(matrix[fit], target[fit])
            scores[held] += model.decision_function(matrix[held]) / 2
        folds[held] = fold
    return scores, folds


def auc_interval(
    scores: np.ndarray, target: np.ndarray, groups: np.ndarray, folds: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """AUC over pairs of one fold, and its 95 % interval when groups (0..g-1) are drawn again with replacement."""
    num_groups = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), NUM_RESAMPLES)
    times = np.concatenate([np.ones((1, num_groups)), draws])  # the first row is the sample itself
    wins, pairs = np.zeros(len(times)), np.zeros(len(times))
    for fold in np.unique(folds):
        crash, other = np.flatnonzero(target & (folds == fold)), np.flatnonzero(~target & (folds == fold))
        margin = scores[crash][:, None] - scores[other][None]
        won = (margin > 0) + 0.5 * (margin == 0)
        crash_times, other_times = times[:, groups[crash]], times[:, groups[other]]
        wins += ((crash_times @ won) * other_times).sum(1)
        pairs += crash_times.sum(1) * other_times.sum(1)
    aucs = wins / np.maximum(pairs, 1)
    low, high = np.quantile(aucs[1:], [0.025, 0.975])
    return round(float(aucs[0]), 4), round(float(low), 4), round(float(high), 4)
