"""The audit of a split: a sample of whole groups, the classifiers' rows, and every finding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.split.assign import SPLITS
from hazardline.split.columns import Batches, Clips, Coded, take_rows
from hazardline.split.config import SplitConfig
from hazardline.split.count_findings import balance_findings, neighbour_findings, published_finding
from hazardline.split.findings import Finding, found, rank
from hazardline.split.groups import Groups, Neighbours
from hazardline.split.leakage import LeakageRow, audit, audit_data
from hazardline.split.nearness import Probe, nearest_train, nearness_finding
from hazardline.split.published import Published
from hazardline.split.row_findings import row_findings
from hazardline.split.source_label import source_finding

_COLUMNS = (
    "clip_id",
    "label",
    "source",
    "codec",
    "width_px",
    "height_px",
    "fps",
    "duration_s",
    "num_frames",
    "size_bytes",
)
_FEATURE_COLUMNS = ("clip_id", "first_colour", "clip_colour", "motion_energy")
MAX_PROBES = 1000
"""Test clips, and training clips, whose nearest training clip is looked for."""
_STRETCH = 4096
_SEED = 0


@dataclass(frozen=True)
class SplitData:
    """A data set that was split."""

    clips: Clips
    features: Batches
    """Columns of the features table, in the order of the scenes' file."""
    groups: Groups
    splits: np.ndarray
    """Number of the split (n, int8) of each clip."""
    neighbours: Sequence[Neighbours]
    published: Published | None


@dataclass(frozen=True)
class Audit:
    """What the audit says."""

    rows: list[LeakageRow]
    findings: list[Finding]
    """The gravest first."""
    num_audited: int
    """Clips that the classifiers, and source against label, were measured on."""


def audit_split(data: SplitData, config: SplitConfig) -> Audit:
    """Measure everything; the same data and configuration give the same numbers.

    Raises:
        UserError: features and scenes are of different clips.
    """
    sample = sample_groups(data.groups, config.audit_max_clips, _SEED)
    scenes = data.clips.at(_COLUMNS, sample)
    features = _features(data, scenes, sample)
    labels = data.clips.coded("label")
    group_names = {
        row["clip_id"]: f"{g:09}" for row, g in zip(scenes, data.groups.of_clip[sample].tolist(), strict=True)
    }
    findings: list[Finding] = []
    rows: list[LeakageRow] = []
    if len(labels.names) > 1:
        rows = audit(audit_data(scenes, features, group_names), config.leakage_limit_auc)
        findings += row_findings(rows, config.leakage_limit_auc)
        findings += _source(data, labels, sample)
    else:
        findings.append(_one_label(labels, len(data.clips)))
    findings.append(_nearness(data, features, sample))
    findings += neighbour_findings(data.clips, data.splits, data.neighbours)
    findings += balance_findings(labels, data.clips.coded("scenario"), data.splits)
    if data.published is not None:
        findings.append(published_finding(data.published, len(data.clips), config.use_published))
    return Audit(rows, sorted(findings, key=lambda finding: -rank(finding.severity)), len(sample))


def sample_groups(groups: Groups, max_clips: int, seed: int) -> np.ndarray:
    """Rows (k, ascending) of whole groups, drawn at random until the next would be too many; all where they fit."""
    if len(groups.of_clip) <= max_clips:
        return np.arange(len(groups.of_clip))
    order = np.random.default_rng(seed).permutation(len(groups.first))
    totals = np.cumsum(groups.sizes[order])
    taken = np.zeros(len(order), bool)
    taken[order[: max(1, int(np.searchsorted(totals, max_clips, "right")))]] = True
    return np.flatnonzero(taken[groups.of_clip])


def _features(data: SplitData, scenes: Sequence[dict[str, Any]], sample: np.ndarray) -> list[dict[str, Any]]:
    order = data.clips.order
    rows = take_rows(data.features, _FEATURE_COLUMNS, sample if order is None else order[sample])
    if [row.get("clip_id") for row in rows] != [row["clip_id"] for row in scenes]:
        raise UserError(f"{FEATURES.file_name}: its clips are not those of the scenes table; run ingest again")
    return rows


def _one_label(labels: Coded, num_clips: int) -> Finding:
    return found(
        "one_label",
        "serious",
        f"All {num_clips} clips are labelled {', '.join(labels.names)}: there is nothing to tell apart, and no leak of "
        "the label can be looked for.",
        {"num_clips": num_clips},
        "Ingest a data set with other labels beside this one (ingest.also).",
    )


def _source(data: SplitData, labels: Coded, sample: np.ndarray) -> list[Finding]:
    names = labels.names
    side = "crash" if "crash" in names else "near_miss"
    is_positive = labels.codes[sample] == names.index(side)
    sources = data.clips.coded("source")
    if len(sources.names) == 1:
        sentence = f"All clips are from one source ({sources.names[0]}): it cannot give the label away."
        return [found("source_against_label", "info", sentence, {"num_clips": len(data.clips), "num_sources": 1})]
    if not is_positive.any() or is_positive.all():
        return []
    splits: dict[str, np.ndarray] = {name: data.splits[sample] == number for number, name in enumerate(SPLITS)}
    groups = np.unique(data.groups.of_clip[sample], return_inverse=True)[1]
    named = f"{side} from {' and '.join(name for name in names if name != side)}"
    return [source_finding(is_positive, sources.codes[sample], len(sources.names), splits, groups, named, _SEED)]


def _nearness(data: SplitData, features: Sequence[dict[str, Any]], sample: np.ndarray) -> Finding:
    splits = data.splits[sample]
    rng = np.random.default_rng(_SEED)
    test = rng.permutation(np.flatnonzero(splits == SPLITS.index("test")))[:MAX_PROBES]
    train = rng.permutation(np.flatnonzero(splits == SPLITS.index("train")))[:MAX_PROBES]
    chosen = np.concatenate([test, train])
    matrix = np.array([_flat(row) for row in features])
    deviation = matrix.std(0)
    scale = matrix.mean(0), np.where(deviation > 0, deviation, 1.0)
    probe = Probe(matrix[chosen], data.groups.of_clip[sample[chosen]], np.arange(len(chosen)) < len(test))
    return nearness_finding(nearest_train(probe, _train_stretches(data), scale), probe, _SEED)


def _flat(row: dict[str, Any]) -> list[float]:
    return [*row["first_colour"], *row["clip_colour"], *row["motion_energy"]]


def _train_stretches(data: SplitData) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features and group numbers of all training clips, in the order of the file."""
    rows = data.clips.rows_of_file()
    start = 0
    for batch in data.features(_FEATURE_COLUMNS[1:]):
        for first in range(0, len(batch), _STRETCH):
            part = batch.slice(first, _STRETCH)
            mine = rows[start : start + len(part)]
            start += len(part)
            is_train = data.splits[mine] == SPLITS.index("train")
            columns = [
                part.column(k).flatten().to_numpy(zero_copy_only=False).reshape(len(part), -1)
                for k in range(part.num_columns)
            ]
            yield np.concatenate(columns, 1)[is_train], data.groups.of_clip[mine][is_train]
