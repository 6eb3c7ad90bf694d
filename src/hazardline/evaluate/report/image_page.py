"""HazardNet's report: one HTML file that needs nothing beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.document import HAZARD_MAIN_METRICS
from hazardline.evaluate.hazard_scored import (
    FIELD_NAMES,
    HAZARD_CLIP_METRICS,
    HAZARD_CORPUS_METRICS,
    HAZARD_METRIC_NAMES,
    HAZARD_SLICED_METRICS,
    TOPIC_METRICS,
)
from hazardline.evaluate.report import charts
from hazardline.evaluate.report.image_cards import Card, card, choose
from hazardline.evaluate.report.parts import ReportData, render, slice_chart, summary_rows
from hazardline.evaluate.scoring import with_reference
from hazardline.evaluate.testset import Clip
from hazardline.hazardnet import CLASSIFICATION, FIELDS, parse_classification

UNPARSABLE_NAME = "unparsable"


def write_image_report(data: ReportData) -> str:
    """Render the report; the same data give the same page."""
    evaluation = data.evaluation
    candidate = data.answers["candidate"]
    drawn = {str(model): found for model, found in evaluation.metrics.items()}
    fields = [f"{short}_{average}_f1" for short in FIELD_NAMES for average in ("macro", "weighted")]
    return render(
        "image_page.html.jinja",
        data,
        summary_rows(evaluation, {name: explanation(name) for name in HAZARD_METRIC_NAMES}),
        "images",
        metric_chart=charts.metric_chart(HAZARD_MAIN_METRICS, drawn),
        other_chart=charts.metric_chart(
            ("classification_exact", "parse_failure_rate", "free_parse_failure_rate", "qa_rougeL", "qa_bleu4"), drawn
        ),
        field_chart=charts.metric_chart(fields, drawn),
        topic_chart=charts.metric_chart(tuple(TOPIC_METRICS), drawn),
        confusion_charts=[
            charts.class_confusion_chart(field, _columns(counts), counts)
            for field, counts in confusion(data.clips, candidate).items()
        ],
        slice_charts=[slice_chart(evaluation, metric) for metric in HAZARD_SLICED_METRICS],
        cards=_cards(data),
    )


def explanation(name: str) -> str:
    """One sentence that says what a metric measures."""
    return HAZARD_CLIP_METRICS[name].explanation if name in HAZARD_CLIP_METRICS else HAZARD_CORPUS_METRICS[name]


def confusion(clips: Sequence[Clip], answers: ModelAnswers) -> dict[str, dict[str, Counter[str]]]:
    """Field -> true class -> what the model said -> images; classes that do not occur are left out."""
    found: dict[str, dict[str, Counter[str]]] = {field: {name: Counter() for name in FIELDS[field]} for field in FIELDS}
    for clip in with_reference(clips, CLASSIFICATION):
        true = parse_classification(clip.references[CLASSIFICATION])
        said = parse_classification(answers[clip.clip_id][CLASSIFICATION].text)
        assert true is not None, "synthesize validates reference classifications"
        for field in FIELDS:
            found[field][true[field]][UNPARSABLE_NAME if said is None else said[field]] += 1
    return {field: {name: counts for name, counts in rows.items() if counts} for field, rows in found.items()}


def _columns(counts: Mapping[str, Counter[str]]) -> list[str]:
    """The classes that are true or said, in the order of the field, then unparsable where it occurs."""
    order = [name for allowed in FIELDS.values() for name in allowed]
    seen = set(counts) | {name for row in counts.values() for name in row}
    named = sorted(seen - {UNPARSABLE_NAME}, key=order.index)
    return [*named, UNPARSABLE_NAME] if UNPARSABLE_NAME in seen else named


def _cards(data: ReportData) -> list[tuple[str, list[Card]]]:
    candidate = data.answers["candidate"]
    groups = choose(data.clips, candidate, data.num_filmstrips)
    return [
        (title, [card(clip, candidate[clip.clip_id]) for clip in clips]) for title, clips in groups.items() if clips
    ]
