"""Source against label, the flaw of CrashChat's released sets: crashes are of one source, all else of others.

A recogniser can then tell cameras apart instead of crashes. The measure is Cramer's V of the table source x crash or
not, with Bergsma's correction (2013), so that many sources of few clips each do not look like a strong link.
"""

import numpy as np

from hazardline.split.findings import Finding, Severity, found
from hazardline.split.resampling import interval

DETERMINED = 0.9
STRONG = 0.5
WEAK = 0.2
MIN_SIDE = 5
"""Clips of each side, at least, for a split to be looked at by itself."""


def cramers_v(counts: np.ndarray) -> np.ndarray:
    """Corrected Cramer's V (d) of tables (d, k * 2), source by side; NaN where there is one side only."""
    tables = counts.reshape(len(counts), -1, 2)
    n = tables.sum((1, 2))
    rows, columns = tables.sum(2), tables.sum(1)
    expected = rows[:, :, None] * columns[:, None, :] / np.maximum(n, 1)[:, None, None]
    chi2 = np.where(expected > 0, (tables - expected) ** 2 / np.where(expected > 0, expected, 1), 0).sum((1, 2))
    num_rows, spare = (rows > 0).sum(1), np.maximum(n - 1, 1)
    phi2 = np.maximum(0, chi2 / np.maximum(n, 1) - (num_rows - 1) / spare)
    width = np.minimum(num_rows - (num_rows - 1) ** 2 / spare, 2 - 1 / spare) - 1
    values = np.sqrt(np.minimum(1, phi2 / np.where(width > 0, width, 1)))
    return np.where(columns.min(1) > 0, np.where(width > 0, values, 0.0), np.nan)


def rule_accuracy(counts: np.ndarray) -> np.ndarray:
    """Accuracy (d) of the best rule that knows the source only."""
    tables = counts.reshape(len(counts), -1, 2)
    best: np.ndarray = tables.max(2).sum(1) / np.maximum(tables.sum((1, 2)), 1)
    return best


def information_bits(table: np.ndarray) -> float:
    """Mutual information of a table (k, 2) of counts, in bits."""
    shares = table / table.sum()
    independent = shares.sum(1, keepdims=True) * shares.sum(0, keepdims=True)
    there = shares > 0
    return float((shares[there] * np.log2(shares[there] / independent[there])).sum())


def source_finding(
    is_positive: np.ndarray,
    sources: np.ndarray,
    num_sources: int,
    splits: dict[str, np.ndarray],
    groups: np.ndarray,
    named: str,
    seed: int,
) -> Finding:
    """How well the source alone tells the label.

    Args:
        is_positive: Side (n, bool) of each clip; both sides are there.
        sources: Number of the source (n) of each clip.
        num_sources: How many there are.
        splits: Name of each split to its clips (n, bool).
        groups: Number of the group (n) of each clip.
        named: What the sides are, for the sentence: `crash from the rest`.
        seed: Of the bootstrap.
    """
    cells, num_cells = sources * 2 + is_positive, num_sources * 2
    v, low, high = interval(cramers_v, cells, num_cells, groups, seed)
    # Drawing a group twice makes a source of few clips look sure of its label: the interval must hold the estimate.
    low, high = min(low, v), max(high, v)
    accuracy, accuracy_low, accuracy_high = interval(rule_accuracy, cells, num_cells, groups, seed)
    table = np.bincount(cells, minlength=num_cells).reshape(-1, 2)
    majority = float(max(is_positive.mean(), 1 - is_positive.mean()))
    numbers = {
        "num_clips": float(len(cells)),
        "num_sources": float((table.sum(1) > 0).sum()),
        "clips_in_sources_of_one_label": float(table[table.min(1) == 0].sum()),
        "rule_accuracy": accuracy,
        "rule_accuracy_low": accuracy_low,
        "rule_accuracy_high": accuracy_high,
        "majority_accuracy": majority,
        "mutual_information_bits": information_bits(table),
    }
    severity = _severity(low, v)
    for name, chosen in splits.items():
        there = is_positive[chosen]
        if min(there.sum(), (~there).sum()) >= MIN_SIDE:
            own = float(cramers_v(np.bincount(cells[chosen], minlength=num_cells)[None])[0])
            numbers[f"cramers_v_{name}"] = own
            if own > DETERMINED:
                severity = "critical"
    sentence = (
        f"Cramer's V {v:.2f} [{low:.2f}, {high:.2f}] between source and label: a rule that sees the source only tells "
        f"{named} with accuracy {accuracy:.3f} [{accuracy_low:.3f}, {accuracy_high:.3f}], the commoner answer alone "
        f"with {majority:.3f}."
    )
    remedy = (
        "Add negatives from the sources of the crashes (hazardline countermeasure negatives) and crashes from those of "
        "the negatives, or leave out sources of one label."
    )
    return found("source_against_label", severity, sentence, numbers, remedy, (v, low, high))


def _severity(low: float, v: float) -> Severity:
    if low > DETERMINED or v > 0.99:
        return "critical"
    if low > STRONG:
        return "serious"
    return "warning" if low > WEAK else "info"
