"""Findings that are counted over all clips: copies, labels that contradict each other, shares, the published split."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from hazardline.split.assign import SPLITS
from hazardline.split.columns import Clips, Coded
from hazardline.split.findings import Finding, Severity, found
from hazardline.split.groups import Neighbours
from hazardline.split.published import Published

RARE_SHARE = 0.05
UNEVEN_SHARE = 0.1
NOISY_SHARE = 0.01
MIN_STRATUM_CLIPS = 10
_NUM_SHOWN = 5


def neighbour_findings(clips: Clips, splits: np.ndarray, neighbours: Sequence[Neighbours]) -> list[Finding]:
    """Near duplicates across splits, and near duplicates that were labelled twice."""
    rows = clips.rows_of([i for pair in neighbours for i in (pair.first, pair.second)]).reshape(-1, 2)
    num_across = int((splits[rows[:, 0]] != splits[rows[:, 1]]).sum())
    num_other = num_with_other_label(clips, rows)
    num_clips = len(np.unique(rows))
    numbers = {"num_pairs": len(rows), "num_clips": num_clips}
    share = num_other / max(1, len(clips))
    noise: Severity = "serious" if share > NOISY_SHARE else "warning" if num_other else "info"
    return [
        found(
            "near_duplicates",
            "critical" if num_across else "info",
            f"{num_across} of {len(rows)} pairs of near duplicates stand in different splits.",
            {**numbers, "num_across_splits": num_across},
            "Split again, and not by use_published: exactly: near duplicates belong to one group.",
        ),
        found(
            "label_noise",
            noise,
            f"{num_other} pairs of near duplicates have different labels that no pair_id explains.",
            {**numbers, "num_pairs_with_other_label": num_other},
            "Look at these clips and keep one label, or leave both out.",
        ),
    ]


def num_with_other_label(clips: Clips, rows: np.ndarray) -> int:
    """Pairs of rows (m, 2) with different labels and not one `pair_id`: copies of one scene labelled twice."""
    if not len(rows):
        return 0
    flat, place = np.unique(rows, return_inverse=True)
    found_rows = clips.at(["label", "pair_id"], flat)
    count = 0
    for i, j in place.reshape(-1, 2).tolist():
        first, second = found_rows[i], found_rows[j]
        explained = first["pair_id"] is not None and first["pair_id"] == second["pair_id"]
        count += first["label"] != second["label"] and not explained
    return count


def balance_findings(labels: Coded, scenarios: Coded, splits: np.ndarray) -> list[Finding]:
    """Shares of the labels in every split, and kinds of scene that the test set lacks."""
    counts = np.zeros((len(SPLITS), len(labels.names)))
    np.add.at(counts, (splits, labels.codes), 1)
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    overall = counts.sum(0) / max(1, counts.sum())
    away = np.abs(shares - overall).max()
    lacking = [
        f"{split} has no {label}"
        for split, row in zip(SPLITS, counts, strict=True)
        for label, count in zip(labels.names, row, strict=True)
        if not count
    ]
    rarest = int(overall.argmin())
    severity: Severity = "serious" if lacking else "info"
    if severity == "info" and (overall[rarest] < RARE_SHARE or away > UNEVEN_SHARE):
        severity = "warning"
    told = "; ".join(lacking) or f"every split has every label, and differs from all by {away:.1%} of its clips at most"
    numbers = {
        f"{split}_{label}": counts[k, j] for k, split in enumerate(SPLITS) for j, label in enumerate(labels.names)
    }
    sentence = f"The rarest label is {labels.names[rarest]} with {overall[rarest]:.1%} of the clips; {told}."
    remedy = "Bring clips of the rare label, or change the shares, so that every split has enough of every label."
    return [found("class_balance", severity, sentence, numbers, remedy), _strata(labels, scenarios, splits)]


def _strata(labels: Coded, scenarios: Coded, splits: np.ndarray) -> Finding:
    kinds = labels.codes.astype(np.int64) * len(scenarios.names) + scenarios.codes
    num_kinds = len(labels.names) * len(scenarios.names)
    in_all = np.bincount(kinds, minlength=num_kinds)
    in_test = np.bincount(kinds[splits == SPLITS.index("test")], minlength=num_kinds)
    lacking = np.flatnonzero((in_all > 0) & (in_test == 0))
    large = lacking[in_all[lacking] >= MIN_STRATUM_CLIPS]
    shown = [
        f"{labels.names[kind // len(scenarios.names)]}/{scenarios.names[kind % len(scenarios.names)]}"
        for kind in lacking[np.argsort(-in_all[lacking], kind="stable")][:_NUM_SHOWN].tolist()
    ]
    sentence = (
        f"{len(lacking)} of {int((in_all > 0).sum())} kinds of label and scenario have no test clip, {len(large)} of "
        f"them with {MIN_STRATUM_CLIPS} clips or more" + (f" (first: {', '.join(shown)})." if shown else ".")
    )
    numbers = {"num_strata": (in_all > 0).sum(), "num_without_test": len(lacking)}
    numbers["clips_without_test"] = in_all[lacking].sum()
    remedy = "Nothing is measured about these kinds: bring clips of other recordings, or another salt."
    return found("strata_without_test", "warning" if len(large) else "info", sentence, numbers, remedy)


def published_finding(published: Published, num_clips: int, use: bool | Literal["exactly"]) -> Finding:
    """Whether the data set's own split parts what belongs together."""
    numbers = {
        "num_published": published.num_clips,
        "num_without": num_clips - published.num_clips,
        "num_torn_groups": published.num_torn,
        "num_moved": published.num_moved if use is True else 0,
    }
    if not published.num_torn:
        return found("published_split", "info", "The published split tears no group apart.", numbers)
    shown = ", ".join(published.torn)
    sentence = f"The published split tears {published.num_torn} groups apart (first: those of {shown})"
    if not use:
        return found("published_split", "info", f"{sentence}; it is not used.", numbers)
    if use == "exactly":
        sentence += ", and is kept exactly: their test clips were seen in training."
        remedy = "Set use_published to true, which moves clips, or to false; figures of a torn split are too good."
        return found("published_split", "critical", sentence, numbers, remedy)
    sentence += f"; {published.num_moved} clips were moved to the split that holds most of their group."
    remedy = "Set use_published to false, or refuse_severity to null to go on with the moved clips."
    return found("published_split", "critical", sentence, numbers, remedy)
