"""What the report of every suite is made of: the data, the table of metrics, the tables of other documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.bootstrap import ALL_CLIP_METRICS
from hazardline.evaluate.document import Estimate, Evaluation, ModelName
from hazardline.evaluate.report import charts
from hazardline.evaluate.testset import Clip

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


def render(template: str, data: ReportData, rows: Sequence[Row], counted: str, **own: Any) -> str:
    """Render a page; the same data give the same page.

    Args:
        template: a page's file name, which extends `base.html.jinja`.
        data: what is shown.
        rows: of the table of metrics.
        counted: what a metric's `n` counts.
        own: what the page alone shows.
    """
    environment = Environment(
        loader=PackageLoader("hazardline.evaluate.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evaluation = data.evaluation
    return environment.get_template(template).render(
        evaluation=evaluation,
        identity=identity_rows(evaluation),
        rows=rows,
        models=MODELS,
        counted=counted,
        counts=sorted(evaluation.counts.items()),
        findings=[] if data.leakage is None else finding_rows(data.leakage.get("findings", [])),
        leakage=tables(_without_findings(data.leakage), "leakage audit"),
        loss_chart=charts.loss_chart(curves) if (curves := loss_curves(data.training)) else "",
        **own,
    )


def summary_rows(evaluation: Evaluation, explained: Mapping[str, str]) -> list[Row]:
    """One row a metric, in the order of their explanations, undefined ones with dashes."""
    rows = []
    for name, explanation in explained.items():
        found = [evaluation.metrics.get(model, {}).get(name) for model in MODELS]
        candidate = found[-1]
        rows.append(
            Row(
                name=name,
                explanation=explanation,
                cells=["–" if estimate is None else estimate_text(estimate) for estimate in found],
                n=0 if candidate is None else candidate.n,
                constant=evaluation.constants.get(name, ""),
                verdict=_verdict(candidate, [estimate for estimate in found[:-1] if estimate is not None], name),
            )
        )
    return rows


def _verdict(candidate: Estimate | None, others: Sequence[Estimate], name: str) -> str:
    if candidate is None or not others:
        return ""
    if name in ALL_CLIP_METRICS and ALL_CLIP_METRICS[name].lower_is_better:
        if all(candidate.high < other.low for other in others):
            return "above"
        return "better" if all(candidate.value < other.value for other in others) else ""
    if all(candidate.low > other.high for other in others):
        return "above"
    return "better" if all(candidate.value > other.value for other in others) else ""


def estimate_text(found: Estimate) -> str:
    """`0.812 [0.780, 0.841]`."""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def identity_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What exactly was measured, as digests."""
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


def slice_chart(evaluation: Evaluation, metric: str) -> str:
    """One sliced metric of the candidate."""
    return charts.slice_chart(metric, evaluation.slices, evaluation.metrics.get("candidate", {}).get(metric))


def finding_rows(findings: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Findings of the leakage audit as severity, name, sentence and remedy, in their order: the gravest first."""
    return [(item["severity"], item["name"].replace("_", " "), item["sentence"], item["remedy"]) for item in findings]


def _without_findings(leakage: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (leakage or {}).items() if key != "findings"}


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
