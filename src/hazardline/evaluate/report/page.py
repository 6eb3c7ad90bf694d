"""The report: one HTML file that needs nothing beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.document import MAIN_METRICS, Estimate, Evaluation, ModelName
from hazardline.evaluate.report import charts
from hazardline.evaluate.report.filmstrips import Filmstrip, choose, filmstrip
from hazardline.evaluate.scored import METRIC_NAMES, explanation
from hazardline.evaluate.scores import Interval
from hazardline.evaluate.slices import SLICED_METRICS
from hazardline.evaluate.testset import Clip
from hazardline.tasks import parse_interval, parse_point, parse_recognition

MODELS: tuple[ModelName, ...] = ("base", "constant", "candidate")
_MAX_TABLE_ROWS = 60


@dataclass(frozen=True)
class ReportData:
    """Everything that the report shows."""

    evaluation: Evaluation
    clips: Sequence[Clip]
    answers: Mapping[str, ModelAnswers]
    leakage: dict[str, Any] | None
    """The leakage audit's JSON, or None."""
    training: dict[str, Any] | None
    """The train stage's JSON, or None."""
    num_filmstrips: int


@dataclass(frozen=True)
class Row:
    """One metric of the summary table."""

    name: str
    explanation: str
    cells: list[str]
    n: int
    constant: str
    verdict: str
    """`above`: the candidate's interval lies above the constant's and the base's; `better`; or empty."""


def write_report(data: ReportData) -> str:
    """Render the report; the same data give the same page."""
    environment = Environment(
        loader=PackageLoader("hazardline.evaluate.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evaluation = data.evaluation
    candidate = data.answers["candidate"]
    others = [name for name in METRIC_NAMES if name not in MAIN_METRICS and name != "tta_abs_error_s"]
    drawn = {str(model): found for model, found in evaluation.metrics.items()} | {"ceiling": evaluation.ceiling}
    return environment.get_template("page.html.jinja").render(
        evaluation=evaluation,
        identity=_identity_rows(evaluation),
        rows=summary_rows(evaluation),
        models=MODELS,
        metric_chart=charts.metric_chart(MAIN_METRICS, drawn),
        other_chart=charts.metric_chart(others, drawn),
        times_chart=charts.times_chart(*predicted_and_true(data.clips, candidate)),
        confusion_chart=charts.confusion_chart(confusion(data.clips, candidate)),
        slice_charts=[_slice_chart(evaluation, metric) for metric in SLICED_METRICS],
        ceiling=[(name, _text(found), found.n) for name, found in evaluation.ceiling.items()],
        counts=sorted(evaluation.counts.items()),
        leakage=tables(data.leakage, "leakage audit"),
        loss_chart=charts.loss_chart(curves) if (curves := loss_curves(data.training)) else "",
        strips=_strips(data),
    )


def summary_rows(evaluation: Evaluation) -> list[Row]:
    """One row a metric, in the order of `METRIC_NAMES`, undefined ones with dashes."""
    rows = []
    for name in METRIC_NAMES:
        found = [evaluation.metrics.get(model, {}).get(name) for model in MODELS]
        candidate = found[-1]
        rows.append(
            Row(
                name=name,
                explanation=explanation(name),
                cells=["–" if estimate is None else _text(estimate) for estimate in found],
                n=0 if candidate is None else candidate.n,
                constant=evaluation.constants.get(name, ""),
                verdict=_verdict(candidate, [estimate for estimate in found[:-1] if estimate is not None], name),
            )
        )
    return rows


def _verdict(candidate: Estimate | None, others: Sequence[Estimate], name: str) -> str:
    if candidate is None or not others:
        return ""
    if name == "tta_abs_error_s":
        if all(candidate.high < other.low for other in others):
            return "above"
        return "better" if all(candidate.value < other.value for other in others) else ""
    if all(candidate.low > other.high for other in others):
        return "above"
    return "better" if all(candidate.value > other.value for other in others) else ""


def _text(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _identity_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    identity = evaluation.identity
    return [
        ("base", identity.base_digest),
        *((f"adapter, {branch} branch", digest) for branch, digest in sorted(identity.adapters_digest.items())),
        ("test data", identity.test_data_digest),
        ("layout", identity.layout_digest),
        ("prompts", identity.prompt_version),
        ("code", identity.code_commit),
        ("report", evaluation.digest()),
    ]


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


def _slice_chart(evaluation: Evaluation, metric: str) -> str:
    return charts.slice_chart(metric, evaluation.slices, evaluation.metrics.get("candidate", {}).get(metric))


def tables(value: Any, name: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """A JSON document as tables (title, columns, rows): plain values first, then each list of objects."""
    if not isinstance(value, dict):
        return []
    plain = [[key, _cell(item)] for key, item in value.items() if not isinstance(item, dict | list)]
    found = [(name, ["what", "value"], plain)] if plain else []
    for key, item in value.items():
        title = f"{name}: {key.replace('_', ' ')}"
        if isinstance(item, list) and item and all(isinstance(row, dict) for row in item):
            columns = list(dict.fromkeys(column for row in item for column in row))
            rows = [[_cell(row.get(column)) for column in columns] for row in item[:_MAX_TABLE_ROWS]]
            found.append((title, [column.replace("_", " ") for column in columns], rows))
        elif isinstance(item, dict):
            found += tables(item, title)
        elif isinstance(item, list) and item:
            found.append((title, ["value"], [[_cell(entry)] for entry in item[:_MAX_TABLE_ROWS]]))
    return found


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return ", ".join(_cell(item) for item in value) if isinstance(value, list) else str(value)


def loss_curves(training: dict[str, Any] | None) -> dict[str, list[tuple[float, float]]]:
    """The curves of the train stage's report: training loss of each branch, and its mean validation loss."""
    branches = {} if training is None else training.get("branches", {})
    curves = {}
    for branch, report in branches.items():
        steps = [(float(point["step"]), float(point["loss"])) for point in report.get("losses", [])]
        measured = [
            (float(point["step"]), sum(point["losses"].values()) / len(point["losses"]))
            for point in report.get("validation", [])
            if point.get("losses")
        ]
        curves[f"{branch}, training"] = steps
        curves[f"{branch}, validation"] = measured
    return {name: points for name, points in curves.items() if points}


def _strips(data: ReportData) -> list[tuple[str, list[Filmstrip]]]:
    candidate = data.answers["candidate"]
    groups = choose(data.clips, candidate, data.num_filmstrips)
    return [
        (title, [filmstrip(clip, candidate[clip.clip_id]) for clip in clips])
        for title, clips in groups.items()
        if clips
    ]
