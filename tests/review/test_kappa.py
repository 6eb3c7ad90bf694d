"""Coefficients against scikit-learn and against the examples of the literature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from hazardline.review.kappa import cohen_kappa, fleiss_kappa, item_counts, krippendorff_alpha, pair_counts

FLEISS_1971 = """
0 0 0 0 14
0 2 6 4 2
0 0 3 5 6
0 3 9 2 0
2 2 8 1 1
7 7 0 0 0
3 2 6 3 0
2 5 3 2 2
6 5 2 1 0
0 2 2 3 7
"""
"""Ten subjects, fourteen raters, five categories; kappa .210."""

KRIPPENDORFF_2011 = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Computing Krippendorff's Alpha-Reliability, section C: four observers, twelve units, gaps; nominal alpha .743."""


def ones(num: int) -> np.ndarray:
    return np.ones((1, num))


def test_fleiss_own_example() -> None:
    counts = np.array([[float(cell) for cell in line.split()] for line in FLEISS_1971.split("\n") if line])
    assert fleiss_kappa(counts, ones(10))[0] == pytest.approx(0.210, abs=5e-4)


def test_krippendorffs_own_example() -> None:
    rows = [line.split() for line in KRIPPENDORFF_2011.strip().split("\n")]
    units = [[row[unit] for row in rows if row[unit] != "."] for unit in range(12)]
    assert krippendorff_alpha(item_counts(units), ones(12))[0] == pytest.approx(0.743, abs=5e-4)


labels = st.sampled_from("abc")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(labels, labels, st.integers(0, 3)), min_size=2, max_size=30))
def test_cohen_is_scikit_learns_under_any_weights(rows: list[tuple[str, str, int]]) -> None:
    first, second, repeats = zip(*rows, strict=True)
    if not sum(repeats):
        return
    found = cohen_kappa(pair_counts(first, second), np.array([repeats, [1] * len(rows)], dtype=float))
    for value, weights in zip(found, (repeats, [1] * len(rows)), strict=True):
        kept = [pair for pair, weight in zip(zip(first, second, strict=True), weights, strict=True) if weight]
        if len({label for pair in kept for label in pair}) == 1:
            assert np.isnan(value)  # scikit-learn gives NaN as well, with a warning
        else:
            assert value == pytest.approx(cohen_kappa_score(first, second, sample_weight=weights), abs=1e-12)


def test_two_raters_by_hand() -> None:
    """20 items, half of them each category for the first rater; the second differs on 2 of each: kappa .6."""
    first = ["x"] * 10 + ["y"] * 10
    second = ["x"] * 8 + ["y"] * 2 + ["y"] * 8 + ["x"] * 2
    assert cohen_kappa(pair_counts(first, second), ones(20))[0] == pytest.approx(0.6)  # (.8 - .5) / (1 - .5)
    both = item_counts(list(zip(first, second, strict=True)))
    assert fleiss_kappa(both, ones(20))[0] == pytest.approx(0.6)
    # alpha counts 40 ratings without replacement: 1 - .2 / (2 * 20 * 20 / (40 * 39))
    assert krippendorff_alpha(both, ones(20))[0] == pytest.approx(1 - 0.2 * 39 / 20)


def test_nothing_but_one_category_is_not_defined() -> None:
    counts = item_counts([["a", "a"], ["a", "a"]])
    assert np.isnan(krippendorff_alpha(counts, ones(2))[0])
    assert np.isnan(fleiss_kappa(counts, ones(2))[0])
    assert np.isnan(krippendorff_alpha(item_counts([["a"], ["b"]]), ones(2))[0]), "nobody is compared"
