"""Agreement beyond chance between raters of nominal categories, for many bootstrap resamples at once.

Each function takes `weights` (r, n): how often each of r resamples holds each of n items (a row of ones for the value
itself), and returns (r,) values, NaN where a coefficient is not defined (all ratings equal). scikit-learn's
`cohen_kappa_score` gives the same value for one resample, as a test says; a thousand calls of it take half a minute.
"""

from collections.abc import Sequence

import numpy as np

from hazardline.evaluate.scores import Array


def pair_counts(first: Sequence[str], second: Sequence[str]) -> Array:
    """One-hot (n, k, k): which category each of two raters gave each item."""
    names = sorted({*first, *second})
    counts = np.zeros((len(first), len(names), len(names)))
    for item, (one, two) in enumerate(zip(first, second, strict=True)):
        counts[item, names.index(one), names.index(two)] = 1.0
    return counts


def item_counts(ratings: Sequence[Sequence[str]]) -> Array:
    """(n, k): how many raters gave each item each category."""
    names = sorted({name for item in ratings for name in item})
    return np.array([[item.count(name) for name in names] for item in map(list, ratings)], dtype=np.float64)


def cohen_kappa(counts: Array, weights: Array) -> Array:
    """Cohen's kappa of two raters (Cohen 1960) from `pair_counts`."""
    table = np.einsum("rn,nij->rij", weights, counts)
    total = table.sum(axis=(1, 2))
    observed = np.trace(table, axis1=1, axis2=2) / total
    chance = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / total**2
    return _beyond_chance(observed, chance)


def fleiss_kappa(counts: Array, weights: Array) -> Array:
    """Fleiss' kappa (Fleiss 1971) from `item_counts`; every item has the same number of raters, two at least."""
    raters = counts[0].sum()
    assert raters >= 2 and (counts.sum(axis=1) == raters).all(), "Fleiss' kappa needs equally many ratings of each item"
    agreeing = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    total = weights.sum(axis=1)
    shares = weights @ counts / (raters * total)[:, None]
    return _beyond_chance(weights @ agreeing / total, (shares**2).sum(axis=1))


def krippendorff_alpha(counts: Array, weights: Array) -> Array:
    """Krippendorff's alpha for nominal data (Krippendorff 2011) from `item_counts`; items may lack ratings.

    An item with one rating alone pairs with nothing and does not count.
    """
    raters = counts.sum(axis=1)
    is_pairable = raters >= 2
    counts, weights, raters = counts[is_pairable], weights[:, is_pairable], raters[is_pairable]
    if not len(counts):
        return np.full(len(weights), np.nan)
    disagreeing = (raters**2 - (counts**2).sum(axis=1)) / (raters - 1)
    totals = weights @ counts
    num = totals.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = weights @ disagreeing / num
        expected = (num**2 - (totals**2).sum(axis=1)) / (num * (num - 1))
        return np.where(expected > 0, 1.0 - observed / expected, np.nan)


def _beyond_chance(observed: Array, chance: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1.0 - 1e-12, (observed - chance) / (1.0 - chance), np.nan)
