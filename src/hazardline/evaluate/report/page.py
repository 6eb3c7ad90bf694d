"""CrashChat's report: one HTML file that needs nothing beside it."""

from collections import Counter
from collections.abc import Sequence

from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.document import CRASH_MAIN_METRICS, Evaluation
from hazardline.evaluate.report import charts
from hazardline.evaluate.report.filmstrips import Filmstrip, choose, filmstrip
from hazardline.evaluate.report.parts import ReportData, Row, estimate_text, render, slice_chart, summary_rows
from hazardline.evaluate.scored import METRIC_NAMES, explanation
from hazardline.evaluate.scores import Interval
from hazardline.evaluate.slices import SLICED_METRICS
from hazardline.evaluate.testset import Clip
from hazardline.tasks import parse_interval, parse_point, parse_recognition


def write_report(data: ReportData) -> str:
    """Render the report; the same data give the same page."""
    evaluation = data.evaluation
    candidate = data.answers["candidate"]
    others = [name for name in METRIC_NAMES if name not in CRASH_MAIN_METRICS and name != "tta_abs_error_s"]
    drawn = {str(model): found for model, found in evaluation.metrics.items()} | {"ceiling": evaluation.ceiling}
    return render(
        "page.html.jinja",
        data,
        crash_rows(evaluation),
        "clips",
        metric_chart=charts.metric_chart(CRASH_MAIN_METRICS, drawn),
        other_chart=charts.metric_chart(others, drawn),
        times_chart=charts.times_chart(*predicted_and_true(data.clips, candidate)),
        confusion_chart=charts.confusion_chart(confusion(data.clips, candidate)),
        slice_charts=[slice_chart(evaluation, metric) for metric in SLICED_METRICS],
        ceiling=[(name, estimate_text(found), found.n) for name, found in evaluation.ceiling.items()],
        strips=_strips(data),
    )


def crash_rows(evaluation: Evaluation) -> list[Row]:
    """The table of CrashChat's metrics."""
    return summary_rows(evaluation, {name: explanation(name) for name in METRIC_NAMES})


def predicted_and_true(
    clips: Sequence[Clip], answers: ModelAnswers
) -> tuple[list[tuple[Interval, Interval]], list[tuple[float, float]]]:
    """(predicted, true) intervals and points of the crashes whose answers can be parsed."""
    intervals, points = [], []
    for clip in clips:
        given, true = answers[clip.clip_id], clip.references
        if "crash_localization" in true:
            ends = parse_interval(given["crash_localization"].text), parse_interval(true["crash_localization"])
            if ends[0] is not None and ends[1] is not None:
                intervals.append((ends[0], ends[1]))
        if "pre_crash_localization" in true:
            times = parse_point(given["pre_crash_localization"].text), parse_point(true["pre_crash_localization"])
            if times[0] is not None and times[1] is not None:
                points.append((times[0], times[1]))
    return intervals, points


def confusion(clips: Sequence[Clip], answers: ModelAnswers) -> dict[str, Counter[str]]:
    """Label -> what recognition said -> clips."""
    names = {True: "Yes", False: "No", None: "unparsable"}
    found: dict[str, Counter[str]] = {}
    for label in ("crash", "near_miss", "normal"):
        chosen = [clip for clip in clips if clip.label == label]
        if chosen:
            said = (answers[clip.clip_id]["crash_recognition"].text for clip in chosen)
            found[label] = Counter(names[parse_recognition(text)] for text in said)
    return found


def _strips(data: ReportData) -> list[tuple[str, list[Filmstrip]]]:
    candidate = data.answers["candidate"]
    groups = choose(data.clips, candidate, data.num_filmstrips)
    return [
        (title, [filmstrip(clip, candidate[clip.clip_id]) for clip in clips])
        for title, clips in groups.items()
        if clips
    ]
