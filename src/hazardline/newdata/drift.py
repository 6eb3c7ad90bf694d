"""Drift of new clips against a reference: effects with their certainty, for clips that are not independent.

Clips of one recording, pair or channel resemble each other, so a textbook test of independent clips sees drift in
every new recording. Here whole units are permuted between the two sides (`scipy.stats.permutation_test`), which needs
no independence within a unit; the p-values of all tests are corrected together (Holm 1979). The domain classifier
(Lopez-Paz & Oquab 2017) is that of the leakage audit, its interval a bootstrap over units. No files, no clock.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from hazardline.newdata.config import DriftName, TriggerConfig
from hazardline.newdata.document import CategoryShare, DriftRow, EffectName, Kind
from hazardline.newdata.sample import Clips
from hazardline.split.leakage import auc_interval, held_out_scores

Statistic = Callable[[np.ndarray], np.ndarray]
"""From (r, u) floats, 1 for every unit that is taken as new, to (r,) values that are larger for more drift."""

_BATCH = 100
"""Permutations held in memory at once."""
_MAX_CATEGORIES = 50
_MAX_SHARES = 12
_MAX_DIMENSIONS = 32
"""Longer vectors are projected on so many principal components of both sides together."""
_DIGITS = 6
_ONE_VALUE = "all clips have one value"
_EFFECTS: dict[Kind, EffectName] = {
    "shares": "total_variation",
    "distribution": "ks_distance",
    "distance": "energy_coefficient",
    "classifier": "auc",
}


def measure(clips: Clips, config: TriggerConfig) -> tuple[DriftRow, ...]:
    """Every comparison, in a fixed order; the same clips and seed give the same rows.

    Where a side has fewer units than `min_units`, no row is measured: too little is known to speak of no drift.
    """
    scalar, scalar_p = _scalar_rows(clips, config)
    distance, distance_p, classifier = _vector_rows(clips, config)
    return (*_judged([*scalar, *distance], [*scalar_p, *distance_p], config), *classifier)


def _scalar_rows(clips: Clips, config: TriggerConfig) -> tuple[list[DriftRow], list[float | None]]:
    """Rows of columns and numbers, and their p-values; None of what is no test."""
    units = clips.units()
    too_few = _too_few(units, clips.is_new, config)
    if too_few:
        limits = config.limits
        rows = [_unmeasured(name, "shares", limits.total_variation, too_few) for name in clips.categories]
        rows += [_unmeasured(name, "distribution", limits.ks_distance, too_few) for name in clips.numbers]
        return rows, [None] * len(rows)
    tables = {name: _table(values, clips.is_new) for name, values in clips.categories.items()}
    rows = [_share_row(name, names, counts, config) for name, (_, names, counts) in tables.items()]
    rows += [_number_row(name, values, clips.is_new, config) for name, values in clips.numbers.items()]
    tests: list[Statistic] = [chi_square(codes, units) for codes, _, _ in tables.values()]
    tests += [kolmogorov_smirnov(values, units) for values in clips.numbers.values()]
    sides = unit_sides(units, clips.is_new)
    found = permutation_p_values(tests, sides, config.num_permutations, config.seed)
    is_test = [row.effect is not None and row.note != _ONE_VALUE for row in rows]
    return rows, [float(p) if tested else None for p, tested in zip(found, is_test, strict=True)]


def _vector_rows(clips: Clips, config: TriggerConfig) -> tuple[list[DriftRow], list[float | None], list[DriftRow]]:
    """Rows of distances with their p-values, and rows of classifiers."""
    chosen = clips.first_of_each_side(config.max_vector_clips)
    is_new, groups = clips.is_new[chosen], np.unique(clips.groups[chosen], return_inverse=True)[1]
    units = np.unique(clips.units()[chosen], return_inverse=True)[1]
    too_few = _too_few(units, is_new, config)
    if too_few:
        limits = config.limits
        rows = [_unmeasured(name, "distance", limits.energy_coefficient, too_few) for name in clips.vectors]
        classifier = [_unmeasured(name, "classifier", limits.auc, too_few) for name in clips.vectors]
        return rows, [None] * len(rows), classifier
    matrices = {name: projected(matrix[chosen]) for name, matrix in clips.vectors.items()}
    tests = [energy(matrix, units) for matrix in matrices.values()]
    sides = unit_sides(units, is_new)
    rows = [_distance_row(name, test, sides, config) for name, test in zip(matrices, tests, strict=True)]
    found = permutation_p_values(tests, sides, config.num_permutations, config.seed)
    classifier = [_classifier_row(name, matrix, is_new, groups, config) for name, matrix in matrices.items()]
    return rows, [float(p) for p in found], classifier


def _too_few(units: np.ndarray, is_new: np.ndarray, config: TriggerConfig) -> str:
    """What is said where a side has too few independent units; else nothing."""
    reference, new = (len(np.unique(units[is_new == side])) for side in (False, True))
    if min(reference, new) >= config.min_units:
        return ""
    return f"{reference} independent units of the reference and {new} new ones; {config.min_units} of each are needed"


def unit_sides(units: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """(u) bool: whether a unit is new. A unit has clips of one side only."""
    sides = np.zeros(int(units.max()) + 1, bool)
    sides[units[is_new]] = True
    return sides


def permutation_p_values(tests: Sequence[Statistic], sides: np.ndarray, num_permutations: int, seed: int) -> np.ndarray:
    """(t) p-values: how often units dealt out anew to sides of the same size are as far apart as they are.

    All tests see the same permutations.
    """

    def all_values(_: np.ndarray, new: np.ndarray, axis: int) -> np.ndarray:
        dealt = np.zeros((*new.shape[:-1], len(sides)))
        np.put_along_axis(dealt, new, 1.0, axis=-1)
        found = np.stack([test(dealt.reshape(-1, len(sides))) for test in tests], -1)
        return found.reshape(*new.shape[:-1], len(tests))

    result = stats.permutation_test(
        (np.flatnonzero(~sides), np.flatnonzero(sides)),
        all_values,
        vectorized=True,
        n_resamples=num_permutations,
        batch=_BATCH,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return np.asarray(result.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): at most alpha of them falsely below alpha in any, whatever their dependence."""
    order = np.argsort(values, kind="stable")
    steps = np.array(values)[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def chi_square(codes: np.ndarray, units: np.ndarray) -> Statistic:
    """Pearson's chi-square of category (n codes from 0) against side."""
    table = np.zeros((int(units.max()) + 1, int(codes.max()) + 1))
    np.add.at(table, (units, codes), 1.0)
    total = table.sum(0)
    share = total / total.sum()

    def statistic(new: np.ndarray) -> np.ndarray:
        observed = new @ table
        num_new = observed.sum(1, keepdims=True)
        num_reference = total.sum() - num_new
        spread = ((observed - num_new * share) ** 2 / share).sum(1)
        return np.asarray(spread * total.sum() / (num_new * num_reference)[:, 0])

    return statistic


def kolmogorov_smirnov(values: np.ndarray, units: np.ndarray) -> Statistic:
    """The largest difference of the distribution functions of the finite values (n)."""
    is_finite = np.isfinite(values)
    order = np.argsort(values[is_finite], kind="stable")
    ranked, owner = values[is_finite][order], units[is_finite][order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0))

    def statistic(new: np.ndarray) -> np.ndarray:
        if not len(ends):
            return np.zeros(len(new))
        below_new = np.cumsum(new[:, owner], axis=1)[:, ends]
        below_reference = ends + 1 - below_new
        num_new, num_reference = below_new[:, -1:], below_reference[:, -1:]
        apart = np.abs(below_new / np.maximum(num_new, 1) - below_reference / np.maximum(num_reference, 1))
        return np.asarray(apart.max(1))

    return statistic


def energy(matrix: np.ndarray, units: np.ndarray) -> Statistic:
    """Energy distance (Székely & Rizzo 2013) as a part of the mean distance between the sides, over pairs of units.

    Pairs within a unit are left out, so that the value is 0 in the mean where the sides are alike; it can be negative.

    Args:
        matrix: (n, d) vectors.
        units: (n) the unit of each.
    """
    num_units = int(units.max()) + 1
    members = np.zeros((num_units, len(units)))
    members[units, np.arange(len(units))] = 1.0
    apart = members @ cdist(matrix, matrix) @ members.T
    np.fill_diagonal(apart, 0.0)
    sizes = members.sum(1)

    def statistic(new: np.ndarray) -> np.ndarray:
        def mean_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            num_pairs = (a @ sizes) * (b @ sizes) - (a * b) @ sizes**2
            return np.asarray(((a @ apart) * b).sum(1) / np.maximum(num_pairs, 1.0))

        old = 1.0 - new
        between = mean_distance(new, old)
        difference = 2 * between - mean_distance(new, new) - mean_distance(old, old)
        return np.asarray(difference / np.maximum(2 * between, np.finfo(float).tiny))

    return statistic


def projected(matrix: np.ndarray) -> np.ndarray:
    """Standardised columns (n, d), or the first principal components where there are many; no side is looked at."""
    scaled = StandardScaler().fit_transform(matrix)
    if scaled.shape[1] > _MAX_DIMENSIONS:
        size = min(_MAX_DIMENSIONS, len(scaled))
        scaled = PCA(size, svd_solver="full").fit_transform(scaled)
    return np.asarray(scaled)


def population_stability(reference: np.ndarray, new: np.ndarray) -> float:
    """PSI of two rows of counts; half a clip is added to each category, so that an empty one has a logarithm."""
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, new))
    return float(((q - p) * np.log(q / p)).sum())


def _table(values: Sequence[str], is_new: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Codes (n), the names of the categories, and their counts (2, k): reference, new."""
    common = [value for value, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))]
    names = common[:_MAX_CATEGORIES] + (["(others)"] if len(common) > _MAX_CATEGORIES else [])
    code = {name: index for index, name in enumerate(names)}
    codes = np.array([code.get(value, len(names) - 1) for value in values])
    counts = np.array([np.bincount(codes[is_new == side], minlength=len(names)) for side in (False, True)])
    return codes, names, counts


def _share_row(name: DriftName, names: Sequence[str], counts: np.ndarray, config: TriggerConfig) -> DriftRow:
    shares = counts / counts.sum(1, keepdims=True)
    more = {"psi": population_stability(counts[0], counts[1])}
    if len(names) > 1:
        more["cramers_v"] = float(stats.contingency.association(counts, method="cramer"))
        more["chi_square"] = float(stats.chi2_contingency(counts, correction=False).statistic)
    listed = [
        CategoryShare(category=category, reference=_rounded(shares[0, k]), new=_rounded(shares[1, k]))
        for k, category in enumerate(names[:_MAX_SHARES])
    ]
    return DriftRow(
        name=name,
        kind="shares",
        effect_name="total_variation",
        effect=_rounded(np.abs(shares[0] - shares[1]).sum() / 2),
        limit=config.limits.total_variation,
        verdict="no_drift",
        note=_ONE_VALUE if len(names) == 1 else "",
        more={key: _rounded(value) for key, value in more.items()},
        shares=tuple(listed),
    )


def _number_row(name: DriftName, values: np.ndarray, is_new: np.ndarray, config: TriggerConfig) -> DriftRow:
    is_finite = np.isfinite(values)
    reference, new = values[is_finite & ~is_new], values[is_finite & is_new]
    row = DriftRow(
        name=name,
        kind="distribution",
        effect_name="ks_distance",
        effect=None,
        limit=config.limits.ks_distance,
        verdict="not_measured",
        note="" if is_finite.all() else f"{(~is_finite).sum()} clips have no such number",
    )
    if not len(reference) or not len(new):
        return row
    spread = float(reference.std())
    more = {"median_reference": float(np.median(reference)), "median_new": float(np.median(new))}
    if spread > 0:
        more["wasserstein_sd"] = float(stats.wasserstein_distance(reference, new)) / spread
    effect = _rounded(stats.ks_2samp(reference, new, method="asymp").statistic)
    changes: dict[str, Any] = {
        "effect": effect,
        "verdict": "no_drift",
        "more": {key: _rounded(v) for key, v in more.items()},
    }
    if np.ptp(values[is_finite]) == 0:
        changes["note"] = _ONE_VALUE
    return row.model_copy(update=changes)


def _distance_row(name: DriftName, test: Statistic, sides: np.ndarray, config: TriggerConfig) -> DriftRow:
    return DriftRow(
        name=name,
        kind="distance",
        effect_name="energy_coefficient",
        effect=_rounded(test(sides[None].astype(float))[0]),
        limit=config.limits.energy_coefficient,
        verdict="no_drift",
    )


def _classifier_row(
    name: DriftName, matrix: np.ndarray, is_new: np.ndarray, groups: np.ndarray, config: TriggerConfig
) -> DriftRow:
    """The interval needs no correction for the number of rows: the limit lies far above what chance gives."""
    scores, folds = held_out_scores(matrix, is_new, groups, config.seed)
    auc, low, high = auc_interval(scores, is_new, groups, folds, config.seed)
    return DriftRow(
        name=name,
        kind="classifier",
        effect_name="auc",
        effect=auc,
        limit=config.limits.auc,
        low=low,
        high=high,
        verdict="drift" if low > config.limits.auc else "no_drift",
    )


def _judged(rows: Sequence[DriftRow], values: Sequence[float | None], config: TriggerConfig) -> list[DriftRow]:
    """Rows with their p-values and verdicts; what was no test counts as none in the correction."""
    adjusted = iter(holm([p for p in values if p is not None]))
    judged = []
    for row, p in zip(rows, values, strict=True):
        if p is None:
            judged.append(row)
            continue
        p_holm = next(adjusted)
        drifts = row.effect is not None and row.effect >= row.limit and p_holm <= config.alpha
        changes = {"p": _rounded(p), "p_holm": _rounded(p_holm), "verdict": "drift" if drifts else "no_drift"}
        judged.append(row.model_copy(update=changes))
    return judged


def _unmeasured(name: DriftName, kind: Kind, limit: float, note: str) -> DriftRow:
    return DriftRow(
        name=name,
        kind=kind,
        effect_name=_EFFECTS[kind],
        effect=None,
        limit=limit,
        verdict="not_measured",
        note=note,
    )


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
