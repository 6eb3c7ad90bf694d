"""Intervals by drawing whole groups again, for sums over clips: clips of one group are not independent."""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

NUM_RESAMPLES = 500
Statistic = Callable[[np.ndarray], np.ndarray]


def interval(
    statistic: Statistic, cells: np.ndarray, num_cells: int, groups: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """A statistic of counts, and its 95 % interval.

    Args:
        statistic: Of counts (draws, num_cells), one value a draw; NaN where it has none.
        cells: The cell (n) that each clip counts in.
        num_cells: Number of cells.
        groups: Number of the group (n, 0..g-1) of each clip.
        seed: The same seed gives the same interval.

    Returns:
        Value, low and high; NaN where the statistic has none.
    """
    num_groups = int(groups.max()) + 1
    by_group = csr_array((np.ones(len(cells)), (groups, cells)), shape=(num_groups, num_cells))
    draws = np.random.default_rng(seed).multinomial(num_groups, np.full(num_groups, 1 / num_groups), NUM_RESAMPLES)
    counts = np.concatenate([by_group.sum(0)[None], draws @ by_group])
    values = statistic(counts)
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return float(values[0]), float(low), float(high)
