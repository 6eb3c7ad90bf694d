"""The review as one HTML file that needs nothing beside it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hazardline.review.report.charts import acceptance_chart, kappa_chart
from hazardline.review.review_document import Figure, Review
from hazardline.review.sample_document import ReviewSample

MAX_TIMELINES = 200
Row = Mapping[str, Any]
_DASH = "–"


@dataclass(frozen=True)
class Bar:
    """A mark on a clip's timeline; a point has no end."""

    start_percent: float
    width_percent: float | None
    title: str


@dataclass(frozen=True)
class Lane:
    """The marks of the annotation, or of one reviewer."""

    name: str
    kind: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Timeline:
    """All marks of one clip."""

    headline: str
    lanes: tuple[Lane, ...]


def render_review(review: Review, sample: ReviewSample, decisions: Sequence[Row], marks: Sequence[Row]) -> str:
    """Render the page; the same data give the same page."""
    environment = Environment(
        loader=PackageLoader("hazardline.review.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    timelines = timelines_of(sample, marks)
    return environment.get_template("page.html.jinja").render(
        review=review,
        digest=review.digest(),
        acceptance_chart=acceptance_chart(review.acceptance),
        kappa_chart=kappa_chart(review.agreement),
        agreement=[
            (row.task, row.measure, row.between, ", ".join(row.reviewers), figure_text(row.figure), row.figure)
            for row in review.agreement
        ],
        spread=[
            (row, [figure_text(found) for found in (row.mean_sd_s, row.mean_range_s, row.share_within_tolerance)])
            for row in review.spread
        ],
        refused=[row for row in decisions if row["decision"] in ("wrong", "added")],
        timelines=timelines[:MAX_TIMELINES],
        num_timelines_left=max(0, len(timelines) - MAX_TIMELINES),
    )


def figure_text(found: Figure) -> str:
    """`0.812 [0.780, 0.841]`, or a dash where it is not defined."""
    if found.value is None or found.low is None or found.high is None:
        return _DASH
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def timelines_of(sample: ReviewSample, marks: Sequence[Row]) -> list[Timeline]:
    """The timelines of clips that a reviewer has marked, those whose marks lie furthest apart first."""
    by_clip: dict[str, list[Row]] = defaultdict(list)
    for row in marks:
        by_clip[row["clip_id"]].append(row)
    found = []
    for clip in sample.clips:
        rows = by_clip[clip.clip_id]
        if not any(row["reviewer"] for row in rows):
            continue
        spans = []
        for kind in ("pre_crash", "crash_start", "crash_end"):
            times = [row["time_s"] for row in rows if row["mark"] == kind]
            spans.append(max(times) - min(times) if times else 0.0)
        headline = f"{clip.clip_id}: {clip.label}, {clip.duration_s:.1f} s; marks up to {max(spans):.2f} s apart"
        found.append((max(spans), Timeline(headline, _lanes(rows, clip.duration_s))))
    return [timeline for _, timeline in sorted(found, key=lambda item: (-item[0], item[1].headline))]


def _lanes(rows: Sequence[Row], duration_s: float) -> tuple[Lane, ...]:
    by_rater: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        by_rater[row["reviewer"]].append(row)
    return tuple(
        Lane(rater or "annotation", "predicted" if rater else "true", _bars(by_rater[rater], duration_s))
        for rater in sorted(by_rater, key=lambda rater: (rater is not None, rater))
    )


def _bars(rows: Sequence[Row], duration_s: float) -> tuple[Bar, ...]:
    def percent(time_s: float) -> float:
        return round(100.0 * min(max(time_s / max(duration_s, 1e-9), 0.0), 1.0), 2)

    times: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        times[row["mark"]].append(row["time_s"])
    bars = [Bar(percent(at), None, f"first sign {at:.2f} s") for at in sorted(times["pre_crash"])]
    # every range gave a start and an end, so that in order they belong together
    for start, end in zip(sorted(times["crash_start"]), sorted(times["crash_end"]), strict=False):
        bars.append(Bar(percent(start), round(percent(end) - percent(start), 2), f"crash {start:.2f} to {end:.2f} s"))
    return tuple(bars)
