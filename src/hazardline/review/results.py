"""What `review import` writes: decisions, marks and problems as tables, the review as a document and as a page."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.scores import TOLERANCE_S
from hazardline.files import folder_in_making, write_atomic
from hazardline.review.agreement import acceptance, agreement
from hazardline.review.collect import Collected, annotation_marks, collect
from hazardline.review.labeling_tasks import suite_named
from hazardline.review.report.page import render_review
from hazardline.review.resampling import ClipBootstrap
from hazardline.review.review_document import PAGE_NAME, REVIEW_NAME, Review
from hazardline.review.sample_document import ReviewSample
from hazardline.review.spread import spread
from hazardline.review.tables import DECISIONS, MARKS, REVIEW_PROBLEMS
from hazardline.review.verdict import verdicts
from hazardline.tables import write_table


def write_results(
    sample: ReviewSample,
    exports: Sequence[Path],
    out: Path,
    keep_names: bool = False,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Review:
    """Import exports and write the folder `out`, a new or an empty one.

    Raises:
        UserError: a file is no export, `out` holds something, or no annotation at all could be used.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: holds something already; give a new or an empty folder")
    found = collect(sample, exports, keep_names)
    if not found.num_used:
        raise UserError(f"{', '.join(map(str, exports))}: {_nothing(found)}")
    decisions = [asdict(row) for row in _in_order(sample, found)]
    marks = sorted(
        (asdict(mark) for mark in (*annotation_marks(sample.clips), *found.marks)),
        key=lambda row: (row["clip_id"], row["mark"], row["source"], row["reviewer"] or "", row["time_s"]),
    )
    review = _review(sample, found, decisions, marks, ClipBootstrap(num_resamples, seed))
    final = out.absolute()
    with folder_in_making(final) as making:
        write_table(DECISIONS, making, decisions)
        write_table(MARKS, making, marks)
        write_table(REVIEW_PROBLEMS, making, [asdict(problem) for problem in found.problems])
        review.write(making / REVIEW_NAME)
        write_atomic(making / PAGE_NAME, render_review(review, sample, decisions, marks).encode())
        if final.exists():
            final.rmdir()
    return review


def _nothing(found: Collected) -> str:
    counts = Counter(problem.reason for problem in found.problems)
    reasons = ", ".join(f"{reason} {num}" for reason, num in counts.most_common()) or "no task"
    first = f"; first: {found.problems[0].origin}: {found.problems[0].detail}" if found.problems else ""
    return f"no annotation of this sample ({reasons}{first}); give the export of the project that was made from it"


def _in_order(sample: ReviewSample, found: Collected) -> list[Any]:
    tasks = suite_named(sample.suite).tasks
    return sorted(found.decisions, key=lambda row: (row.clip_id, tasks.index(row.task), row.reviewer))


def _review(
    sample: ReviewSample,
    found: Collected,
    decisions: list[dict[str, Any]],
    marks: list[dict[str, Any]],
    bootstrap: ClipBootstrap,
) -> Review:
    return Review(
        sample=sample.sample_id(),
        suite=sample.suite,
        is_prefilled=sample.is_prefilled,
        reviewers=tuple(sorted({row["reviewer"] for row in decisions})),
        num_clips=len(sample.clips),
        num_clips_reviewed=len({row["clip_id"] for row in decisions}),
        num_annotations=found.num_annotations,
        num_annotations_used=found.num_used,
        num_decisions=len(decisions),
        problems=dict(sorted(Counter(problem.reason for problem in found.problems).items())),
        strata=sample.strata,
        acceptance=tuple(acceptance(verdicts(decisions))),
        agreement=tuple(agreement(sample, decisions, bootstrap)),
        spread=tuple(spread(marks, bootstrap)),
        tolerance_s=TOLERANCE_S,
        num_resamples=bootstrap.num_resamples,
        seed=bootstrap.seed,
    )
