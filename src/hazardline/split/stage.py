"""The split stage: groups, assignment, and the audit of what the data set gives away."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.progress import Reporter
from hazardline.split.assign import SPLITS, assign
from hazardline.split.config import SplitConfig
from hazardline.split.groups import group
from hazardline.split.guard import check_assignment
from hazardline.split.leakage import LeakageRow, audit, audit_data
from hazardline.split.near_duplicates import LEAST_SHIFT_S, NearDuplicates, near_duplicates
from hazardline.tables import ASSIGNMENT, SCENES, read_table, write_table

LEAKAGE_NAME = "leakage.json"


class SplitCounts(Document):
    """One split."""

    num_clips: int
    num_groups: int
    by_label: dict[str, int]
    by_scenario: dict[str, int]


class NeighbourLeakage(Document):
    """Near-duplicates, by fingerprints."""

    distance: float
    """`near_duplicate_distance` of the recipe."""
    num_pairs: int
    """Links found; clips that are connected through others are not linked again."""
    num_mirrored: int
    num_trimmed: int
    """Of the pairs, those of which one begins later than the other."""
    num_uninformative: int
    """Clips that show nothing that could be compared (black, fog, a plain title): they are nobody's duplicates."""
    num_clips_in_largest_group: int
    """Clips connected with one another by near-duplication alone. If these are more than the copies that one clip can
    have, the distance is too large for this data."""
    num_pairs_with_other_label: int
    """Of those, pairs of different labels that no `pair_id` explains: copies of one scene that were labelled twice."""
    num_across_splits: int


class LeakageReport(Document):
    """`leakage.json`: how the data was split, and what cheap features give away."""

    version: Literal["leakage@2"] = "leakage@2"
    salt: str
    num_groups: int
    splits: dict[str, SplitCounts]
    neighbours: NeighbourLeakage
    limit_auc: float
    rows: list[LeakageRow]


def run(config: SplitConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Group, assign, check, audit; write assignment.parquet and leakage.json.

    Args:
        config: Shares, salt and limits.
        inputs: `ingest` with scenes.parquet, features.parquet and fingerprints.parquet.
        out: Receives the two files.
        reporter: Told of the phases and of leaking features.

    Returns:
        The report, as plain data.

    Raises:
        UserError: too few groups, an assignment that tears groups apart, or, if configured, a leaking feature.
    """
    scenes = read_table(SCENES, inputs["ingest"])
    features = read_table(FEATURES, inputs["ingest"])
    reporter.phase("group clips")
    ids = [row["clip_id"] for row in scenes]
    found = near_duplicates(inputs["ingest"], ids, config.near_duplicate_distance, out)
    neighbours = found.neighbours
    groups = group(scenes, neighbours)
    splits = assign(scenes, groups, config)
    rows = [{"clip_id": c, "group_id": g, "split": splits[g]} for c, g in sorted(groups.items())]
    check_assignment(scenes, rows, neighbours)
    reporter.phase("audit leakage")
    report = LeakageReport(
        salt=config.salt,
        num_groups=len(splits),
        splits=_counts(scenes, rows),
        neighbours=_neighbours(scenes, rows, found, config.near_duplicate_distance),
        limit_auc=config.leakage_limit_auc,
        rows=audit(audit_data(scenes, features, groups), config.leakage_limit_auc),
    )
    write_table(ASSIGNMENT, out, rows)
    report.write(out / LEAKAGE_NAME)
    _tell(report, reporter, config.fail_on_leakage)
    return report.data()


def _tell(report: LeakageReport, reporter: Reporter, fail: bool) -> None:
    sizes = ", ".join(f"{split} {report.splits[split].num_clips}" for split in SPLITS)
    reporter.note(f"{report.num_groups} groups; clips: {sizes}")
    leaks = [f"{r.feature} {r.comparison} AUC {r.auc} [{r.low}, {r.high}]" for r in report.rows if r.verdict == "leaks"]
    if leaks and fail:
        raise UserError(
            f"split: cheap features predict the label with an AUC above {report.limit_auc} (leakage_limit_auc): "
            f"{'; '.join(leaks)}. Balance the data set in these features, or set fail_on_leakage to false"
        )
    for leak in leaks:
        reporter.note(f"leakage: {leak}")


def _counts(scenes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> dict[str, SplitCounts]:
    by_id = {scene["clip_id"]: scene for scene in scenes}
    result: dict[str, SplitCounts] = {}
    for split in SPLITS:
        mine = [row for row in rows if row["split"] == split]
        result[split] = SplitCounts(
            num_clips=len(mine),
            num_groups=len({row["group_id"] for row in mine}),
            by_label=dict(sorted(Counter(by_id[row["clip_id"]]["label"] for row in mine).items())),
            by_scenario=dict(sorted(Counter(by_id[row["clip_id"]]["scenario"] for row in mine).items())),
        )
    return result


def _neighbours(
    scenes: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    found: NearDuplicates,
    distance: float,
) -> NeighbourLeakage:
    neighbours = found.neighbours
    by_id = {scene["clip_id"]: scene for scene in scenes}
    splits = {row["clip_id"]: row["split"] for row in rows}
    unexplained = [
        pair
        for pair in neighbours
        if by_id[pair.first]["label"] != by_id[pair.second]["label"]
        and (by_id[pair.first]["pair_id"] is None or by_id[pair.first]["pair_id"] != by_id[pair.second]["pair_id"])
    ]
    return NeighbourLeakage(
        distance=distance,
        num_pairs=len(neighbours),
        num_mirrored=sum(pair.is_mirrored for pair in neighbours),
        num_trimmed=sum(abs(pair.offset_s) > LEAST_SHIFT_S for pair in neighbours),
        num_uninformative=found.num_uninformative,
        num_clips_in_largest_group=found.num_clips_in_largest_group,
        num_pairs_with_other_label=len(unexplained),
        num_across_splits=sum(splits[pair.first] != splits[pair.second] for pair in neighbours),
    )
