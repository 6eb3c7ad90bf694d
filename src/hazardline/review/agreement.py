"""Agreement between reviewers and with the annotation, each figure with its interval clustered by clip."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from scipy.stats import binomtest

from hazardline.evaluate.scores import TOLERANCE_S, Interval, interval_iou
from hazardline.review import kappa
from hazardline.review.ratings import ANNOTATION, Ratings, ratings_by_topic
from hazardline.review.resampling import ClipBootstrap
from hazardline.review.review_document import Acceptance, AgreementFigure
from hazardline.review.sample_document import ReviewSample
from hazardline.review.verdict import Verdict
from hazardline.tasks import LOCALIZATION_TASKS, Task

Row = Mapping[str, Any]
Times = tuple[float, float | None]
_EPSILON_S = 1e-9


def agreement(sample: ReviewSample, decisions: Sequence[Row], bootstrap: ClipBootstrap) -> list[AgreementFigure]:
    """All figures of agreement, topic by topic.

    Args:
        sample: what was put before the reviewers.
        decisions: rows of the decisions table.
        bootstrap: of the intervals.
    """
    figures: list[AgreementFigure] = []
    for topic, ratings in ratings_by_topic(sample, decisions).items():
        figures += _between_reviewers(topic, ratings, bootstrap)
        figures += _with_annotation(topic, ratings, bootstrap)
    for task in LOCALIZATION_TASKS:
        figures += _of_times(task, sample, [row for row in decisions if row["task"] == task], bootstrap)
    return figures


def acceptance(found: Iterable[Verdict]) -> list[Acceptance]:
    """The annotator's acceptance rate by task, with Wilson's interval."""
    by_task: dict[Task, list[Verdict]] = defaultdict(list)
    for verdict in found:
        if not verdict.is_added:
            by_task[verdict.task].append(verdict)
    rows = []
    for task, members in by_task.items():
        num_accepted = sum(verdict.outcome == "accepted" for verdict in members)
        refusals = ("no_correction", "corrections_differ")
        num_refused = sum(
            verdict.outcome == "corrected" or (verdict.outcome == "open" and verdict.reason in refusals)
            for verdict in members
        )
        decided = num_accepted + num_refused
        interval = binomtest(num_accepted, decided).proportion_ci(method="wilson") if decided else None
        rows.append(
            Acceptance(
                task=task,
                num_accepted=num_accepted,
                num_refused=num_refused,
                num_open=len(members) - decided,
                rate=num_accepted / decided if decided else None,
                low=float(interval.low) if interval else None,
                high=float(interval.high) if interval else None,
            )
        )
    return rows


def _between_reviewers(topic: str, ratings: Ratings, bootstrap: ClipBootstrap) -> list[AgreementFigure]:
    by_clip = {
        clip: {rater: category for rater, category in given.items() if rater != ANNOTATION}
        for clip, given in sorted(ratings.items())
    }
    reviewers = sorted({rater for given in by_clip.values() for rater in given})
    figures = []
    for pair in combinations(reviewers, 2):
        shared = [clip for clip, given in by_clip.items() if set(pair) <= set(given)]
        if shared:
            first, second = ([by_clip[clip][rater] for clip in shared] for rater in pair)
            figures += _cohen(topic, "reviewers", pair, shared, first, second, bootstrap)
    rated = [clip for clip, given in by_clip.items() if len(given) >= 2]
    if len(reviewers) >= 3:
        complete = [clip for clip in rated if len(by_clip[clip]) == len(reviewers)]
        if complete:
            counts = kappa.item_counts([list(by_clip[clip].values()) for clip in complete])
            figure = bootstrap.figure(lambda weights: kappa.fleiss_kappa(counts, weights), complete)
            figures.append(_figure(topic, "fleiss_kappa", "reviewers", reviewers, figure))
    if rated:
        all_counts = kappa.item_counts([list(by_clip[clip].values()) for clip in rated])
        figure = bootstrap.figure(lambda weights: kappa.krippendorff_alpha(all_counts, weights), rated)
        figures.append(_figure(topic, "krippendorff_alpha", "reviewers", reviewers, figure))
    return figures


def _with_annotation(topic: str, ratings: Ratings, bootstrap: ClipBootstrap) -> list[AgreementFigure]:
    """Every reviewer's rating of every clip beside the annotation's."""
    rows = [
        (clip, rater, given[ANNOTATION], category)
        for clip, given in sorted(ratings.items())
        if ANNOTATION in given
        for rater, category in sorted(given.items())
        if rater != ANNOTATION
    ]
    if not rows:
        return []
    clips, raters, annotated, said = zip(*rows, strict=True)
    return _cohen(topic, "annotation", sorted(set(raters)), clips, annotated, said, bootstrap)


def _cohen(
    topic: str,
    between: Any,
    reviewers: Sequence[str],
    clips: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    bootstrap: ClipBootstrap,
) -> list[AgreementFigure]:
    counts = kappa.pair_counts(first, second)
    same = [float(one == two) for one, two in zip(first, second, strict=True)]
    coefficient = bootstrap.figure(lambda weights: kappa.cohen_kappa(counts, weights), clips)
    return [
        _figure(topic, "percent_agreement", between, reviewers, bootstrap.mean(same, clips)),
        _figure(topic, "cohen_kappa", between, reviewers, coefficient),
    ]


def _of_times(
    task: Task, sample: ReviewSample, decisions: Sequence[Row], bootstrap: ClipBootstrap
) -> list[AgreementFigure]:
    """Overlap of intervals, or distance of points: reviewers' marks with the annotation's, and with each other."""
    annotated: dict[str, Times] = {}
    for clip in sample.clips:
        pair = clip.pair(task)
        if pair is not None and pair.start_s is not None:
            annotated[clip.clip_id] = (pair.start_s, pair.end_s)
    given: dict[str, dict[str, Times]] = defaultdict(dict)
    for row in decisions:
        if row["start_s"] is not None:
            given[row["clip_id"]][row["reviewer"]] = (row["start_s"], row["end_s"])
    with_annotation = [
        (clip, annotated[clip], times)
        for clip, marks in sorted(given.items())
        if clip in annotated
        for _, times in sorted(marks.items())
    ]
    among = [
        (clip, marks[one], marks[two])
        for clip, marks in sorted(given.items())
        for one, two in combinations(sorted(marks), 2)
    ]
    reviewers = sorted({name for marks in given.values() for name in marks})
    return [
        figure
        for between, pairs in (("annotation", with_annotation), ("reviewers", among))
        if pairs
        for figure in _distances(task, between, reviewers, pairs, bootstrap)
    ]


def _distances(
    task: Task,
    between: Any,
    reviewers: Sequence[str],
    pairs: Sequence[tuple[str, Times, Times]],
    bootstrap: ClipBootstrap,
) -> list[AgreementFigure]:
    clips = [clip for clip, _, _ in pairs]
    if task == "crash_localization":
        overlaps = [interval_iou(_interval(two), _interval(one)) for _, one, two in pairs]
        return [_figure(task, "mean_iou", between, reviewers, bootstrap.mean(overlaps, clips))]
    differences = [two[0] - one[0] for _, one, two in pairs]
    near = [float(abs(far) <= TOLERANCE_S + _EPSILON_S) for far in differences]
    figures = [
        _figure(
            task, "mean_abs_difference_s", between, reviewers, bootstrap.mean([abs(far) for far in differences], clips)
        ),
        _figure(task, "share_within_tolerance", between, reviewers, bootstrap.mean(near, clips)),
    ]
    if between == "annotation":  # between reviewers the sign means nothing
        figures.append(_figure(task, "mean_difference_s", between, reviewers, bootstrap.mean(differences, clips)))
    return figures


def _interval(times: Times) -> Interval:
    return times[0], times[0] if times[1] is None else times[1]


def _figure(topic: str, measure: Any, between: Any, reviewers: Sequence[str], figure: Any) -> AgreementFigure:
    return AgreementFigure(task=topic, measure=measure, between=between, reviewers=tuple(reviewers), figure=figure)
