"""A data set with a review's corrections: a folder that stands for ingest's output, under a digest of its own."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import folder_in_making
from hazardline.ingest.report import REPORT_NAME, IngestReport, commonest_first
from hazardline.review.collect import pseudonym
from hazardline.review.correct import Corrected, NoCrashLabel, Unresolved, corrections_of
from hazardline.review.corrections import (
    CORRECTIONS_NAME,
    SCENE_FIELDS,
    Correction,
    CorrectionProblem,
    apply_corrections,
    write_corrections,
)
from hazardline.review.dataset_digest import corrections_within, dataset_digest
from hazardline.review.sample_document import ReviewSample
from hazardline.review.verdict import Rules, verdicts
from hazardline.tables import SCENES, TableWriter, read_rows

APPLIED_NAME = "applied.json"
Labels = defaultdict[str, Counter[str]]
"""Clips by source and label."""


class NotApplied(Document):
    """A clip that stays as it was, and why (`hazardline.review.corrections.CorrectionProblem`)."""

    clip_id: str
    field: str
    reason: str
    detail: str


class Applied(Document):
    """What became of a review's decisions."""

    version: Literal["review_applied@1"] = "review_applied@1"
    sample: str
    parent_digest: str
    """Of the scenes before."""
    dataset_digest: str
    num_corrections: int
    """Of scenes and of answers; `corrections.jsonl` holds those of earlier reviews before them."""
    num_applied: int
    """Values of the scenes table that are other ones now, or were the corrected ones already."""
    num_of_answers: int
    """For the QA table (`answer:TASK`): not part of this folder."""
    by_field: dict[str, int]
    """Applied corrections by column."""
    problems: tuple[NotApplied, ...]
    unresolved: tuple[Unresolved, ...]


def decide(
    sample: ReviewSample,
    decisions: list[dict[str, Any]],
    rules: Rules | None = None,
    no_crash_label: NoCrashLabel | None = None,
) -> Corrected:
    """Corrections of a sample from rows of the decisions table (see `verdicts` and `corrections_of`).

    The adjudicator may be given by name where the table holds pseudonyms.

    Raises:
        UserError: the adjudicator has decided nothing, or the decisions are of another sample.
    """
    rules = rules or Rules()
    if rules.adjudicator is not None:
        known = {row["reviewer"] for row in decisions}
        names = {rules.adjudicator, pseudonym(rules.adjudicator, sample.sample_id())} & known
        if not names:
            raise UserError(
                f"--adjudicator {rules.adjudicator}: has decided nothing; the reviewers are {', '.join(sorted(known))}"
            )
        rules = replace(rules, adjudicator=names.pop())
    strange = sorted({row["clip_id"] for row in decisions} - {clip.clip_id for clip in sample.clips})
    if strange:
        raise UserError(f"the decisions are of another sample: clip {strange[0]} is not in the project")
    return corrections_of(sample, verdicts(decisions, rules), no_crash_label)


def write_corrected(ingest: Path, sample: ReviewSample, decided: Corrected, out: Path) -> Applied:
    """Write `out`: what ingest wrote, with corrected scenes, `corrections.jsonl` and `applied.json`.

    Args:
        ingest: the output folder of ingest.
        sample: what was reviewed.
        decided: corrections, and what stays open.
        out: a new or an empty folder.

    Raises:
        UserError: a table cannot be read, or `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: holds something already; give a new or an empty folder")
    of_scenes = [item for item in decided.corrections if item.field in SCENE_FIELDS]
    final = out.absolute()
    with folder_in_making(final) as making:
        shutil.copytree(
            ingest, making, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SCENES.file_name, REPORT_NAME)
        )
        write_corrections(making / CORRECTIONS_NAME, [*corrections_within(ingest), *decided.corrections])
        problems, labels = _write_scenes(ingest, making, decided.corrections)
        refused = {problem.clip_id for problem in problems}
        applied = [item for item in of_scenes if item.clip_id not in refused]
        report = Applied(
            sample=sample.sample_id(),
            parent_digest=dataset_digest(ingest),
            dataset_digest=dataset_digest(making),
            num_corrections=len(decided.corrections),
            num_applied=len(applied),
            num_of_answers=len(decided.corrections) - len(of_scenes),
            by_field=dict(sorted(Counter(item.field for item in applied).items())),
            problems=tuple(NotApplied(**asdict(problem)) for problem in problems),
            unresolved=tuple(decided.unresolved),
        )
        _write_ingest_report(ingest, making, labels, report.dataset_digest)
        report.write(making / APPLIED_NAME)
        if final.exists():
            final.rmdir()
    return report


def _write_scenes(
    ingest: Path, making: Path, corrections: Sequence[Correction]
) -> tuple[list[CorrectionProblem], Labels]:
    """Write the corrected scenes row by row; returns what could not be applied, and the labels as they are now."""
    by_clip: dict[str, list[Correction]] = {}
    for item in corrections:
        by_clip.setdefault(item.clip_id, []).append(item)
    problems: list[CorrectionProblem] = []
    labels: Labels = defaultdict(Counter)
    with TableWriter(SCENES, making) as writer:
        for scene in read_rows(SCENES, ingest):
            row, found = apply_corrections(scene, by_clip.pop(scene["clip_id"], []))
            writer.write(row)
            labels[row["source"]][row["label"]] += 1
            problems += found
    for clip_id, left in by_clip.items():
        detail = f"{len(left)} corrections of a clip that is not in the scenes table"
        problems.append(CorrectionProblem(clip_id, left[0].field, "unknown_clip", detail))
    return problems, labels


def _write_ingest_report(ingest: Path, making: Path, labels: Labels, digest: str) -> None:
    if not (ingest / REPORT_NAME).is_file():
        return
    changes = {
        "by_label": commonest_first(sum(labels.values(), Counter())),
        "labels_by_source": {source: commonest_first(labels[source]) for source in sorted(labels)},
        "dataset_digest": digest,
    }
    IngestReport.read(ingest / REPORT_NAME).model_copy(update=changes).write(making / REPORT_NAME)
