"""The split stage: groups, assignment, and the audit of what the data set gives away."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hazardline.errors import RefusedOutputError
from hazardline.ingest.features import FEATURES
from hazardline.progress import Reporter
from hazardline.split.assign import SPLITS, Assignment, assign, of_clips
from hazardline.split.audit import Audit, SplitData, audit_split
from hazardline.split.columns import Clips, Coded
from hazardline.split.config import SplitConfig
from hazardline.split.document import LEAKAGE_NAME, AuditedSample, LeakageReport, NeighbourLeakage, SplitCounts
from hazardline.split.findings import at_least, refusal, told
from hazardline.split.groups import group
from hazardline.split.guard import check_assignment
from hazardline.split.near_duplicates import LEAST_SHIFT_S, NearDuplicates, near_duplicates
from hazardline.split.published import Published, torn_on_purpose
from hazardline.tables import ASSIGNMENT, read_batches, write_batches


def run(config: SplitConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Group, assign, check, audit; write assignment.parquet and leakage.json.

    Args:
        config: Shares, salt and limits.
        inputs: `ingest` with scenes.parquet, features.parquet and fingerprints.parquet.
        out: Receives the two files.
        reporter: Told of the phases and of what was found.

    Returns:
        The report, as plain data.

    Raises:
        UserError: too few groups, or an assignment that tears groups apart.
        RefusedOutputError: a finding of `refuse_severity` or graver. Both files are written before.
    """
    clips = Clips.read(inputs["ingest"])
    reporter.phase("group clips")
    found = near_duplicates(clips, inputs["ingest"], config.near_duplicate_distance, out)
    neighbours = found.neighbours
    groups = group(clips, neighbours, config.group_by)
    published = Published.of(clips, groups)
    of_group = assign(clips, groups, config, published if config.use_published else None)
    splits = of_clips(of_group, groups, config, published)
    assignment = Assignment(clips, groups, splits)
    check_assignment(clips, assignment, neighbours, config.group_by, torn_on_purpose(groups, config, published))
    reporter.phase("audit leakage")
    features = partial(read_batches, FEATURES, inputs["ingest"])
    data = SplitData(clips, features, groups, splits, neighbours, published)
    report = _report(data, audit_split(data, config), found, config)
    write_batches(ASSIGNMENT, out, assignment)
    report.write(out / LEAKAGE_NAME)
    _tell(report, reporter)
    if config.refuse_severity is not None and at_least(report.findings, config.refuse_severity):
        raise RefusedOutputError(refusal(report.findings, config.refuse_severity))
    return report.data()


def _tell(report: LeakageReport, reporter: Reporter) -> None:
    sizes = ", ".join(f"{split} {report.splits[split].num_clips}" for split in SPLITS)
    reporter.note(f"{report.num_groups} groups; clips: {sizes}")
    for finding in at_least(report.findings, "warning"):
        reporter.note(told(finding))


def _report(data: SplitData, audit: Audit, found: NearDuplicates, config: SplitConfig) -> LeakageReport:
    numbers = {finding.name: finding.numbers for finding in audit.findings}
    return LeakageReport(
        salt=config.salt,
        group_by=config.group_by,
        num_groups=len(data.groups.first),
        splits=_counts(data),
        neighbours=NeighbourLeakage(
            distance=config.near_duplicate_distance,
            num_pairs=len(found.neighbours),
            num_mirrored=sum(pair.is_mirrored for pair in found.neighbours),
            num_trimmed=sum(abs(pair.offset_s) > LEAST_SHIFT_S for pair in found.neighbours),
            num_uninformative=found.num_uninformative,
            num_clips_in_largest_group=found.num_clips_in_largest_group,
            num_pairs_with_other_label=int(numbers["label_noise"]["num_pairs_with_other_label"]),
            num_across_splits=int(numbers["near_duplicates"]["num_across_splits"]),
        ),
        limit_auc=config.leakage_limit_auc,
        audited=AuditedSample(
            num_clips=audit.num_audited, of_clips=len(data.clips), is_sample=audit.num_audited < len(data.clips)
        ),
        findings=audit.findings,
        rows=audit.rows,
    )


def _counts(data: SplitData) -> dict[str, SplitCounts]:
    labels, scenarios = data.clips.coded("label"), data.clips.coded("scenario")
    result: dict[str, SplitCounts] = {}
    for number, split in enumerate(SPLITS):
        mine = data.splits == number
        result[split] = SplitCounts(
            num_clips=int(mine.sum()),
            num_groups=len(np.unique(data.groups.of_clip[mine])),
            by_label=_by_name(labels, mine),
            by_scenario=_by_name(scenarios, mine),
        )
    return result


def _by_name(column: Coded, chosen: np.ndarray) -> dict[str, int]:
    counts = np.bincount(column.codes[chosen], minlength=len(column.names))
    return {name: int(count) for name, count in zip(column.names, counts, strict=True) if count}
