"""The names of HazardNet's metrics (a contract with the gate and the summary) and how each is computed.

A whole classification is one number in the clip scores table: its four fields' places in `FIELDS`, in mixed radix. So
metrics of several fields can be resampled and compared clip by clip like any other.
"""

from collections.abc import Mapping

import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.scored import MetricInfo
from hazardline.evaluate.scores import UNPARSABLE, Array
from hazardline.hazardnet import FIELDS, TOPICS
from hazardline.tasks import Task

FIELD_NAMES: dict[str, str] = {
    "scene": "SceneClassification",
    "agent": "AgentClassification",
    "action": "SuggestedAction",
    "risk": "IsThereRisk",
}
"""The fields by the short name that their metrics carry."""
TOPIC_METRICS: dict[str, Task] = {f"qa_accuracy_{task}": task for task in TOPICS}


def class_number(field: str, values: Mapping[str, str] | None) -> float:
    """Place of what a classification says in a field; `UNPARSABLE` for none."""
    return UNPARSABLE if values is None else float(FIELDS[field].index(values[field]))


def code_of(values: Mapping[str, str] | None) -> float:
    """A whole classification as one number; `UNPARSABLE` for none."""
    if values is None:
        return UNPARSABLE
    code = 0
    for field, allowed in FIELDS.items():
        code = code * len(allowed) + allowed.index(values[field])
    return float(code)


def classes_of(codes: Array) -> dict[str, Array]:
    """Field to class numbers of whole classifications; `UNPARSABLE` stays what it is."""
    found: dict[str, Array] = {}
    rest = codes.astype(np.int64)
    for field, allowed in reversed(FIELDS.items()):
        found[field] = np.where(codes == UNPARSABLE, UNPARSABLE, rest % len(allowed)).astype(np.float64)
        rest = rest // len(allowed)
    return {field: found[field] for field in FIELDS}


def mean_macro_f1(targets: Array, values: Array, weights: Array) -> Array:
    """Mean over the four fields of their macro F1, from whole classifications."""
    true, said = classes_of(targets), classes_of(values)
    return np.asarray(np.mean([scores.class_macro_f1(true[f], said[f], weights) for f in FIELDS], axis=0))


_WRONG = "An answer that cannot be parsed is wrong."


def _classification() -> dict[str, MetricInfo]:
    found = {
        "classification_macro_f1": MetricInfo(mean_macro_f1, False, "Mean of the macro F1 of the four fields."),
        "classification_exact": MetricInfo(
            scores.accuracy, False, f"Share of images with all four fields right. {_WRONG}"
        ),
    }
    for short, field in FIELD_NAMES.items():
        found[f"{short}_macro_f1"] = MetricInfo(
            scores.class_macro_f1, False, f"{field}: mean F1 of the classes that occur. {_WRONG}"
        )
        found[f"{short}_weighted_f1"] = MetricInfo(
            scores.class_weighted_f1, False, f"{field}: F1 of the classes, weighted by how often they occur. {_WRONG}"
        )
    found["parse_failure_rate"] = MetricInfo(
        scores.mean,
        False,
        "Share of classifications, decoded under the schema, that are none; lower is better.",
        lower_is_better=True,
    )
    found["free_parse_failure_rate"] = MetricInfo(
        scores.mean,
        False,
        "The same, decoded freely: how often the model breaks the form by itself; lower is better.",
        lower_is_better=True,
    )
    return found


def _questions() -> dict[str, MetricInfo]:
    found = {
        "qa_accuracy": MetricInfo(
            scores.ratio, False, "HazardQA: share of questions whose final answer is the reference's; n counts images."
        )
    }
    for metric, task in TOPIC_METRICS.items():
        found[metric] = MetricInfo(scores.mean, False, f"The same, {TOPICS[task]} alone.")
    found["qa_rougeL"] = MetricInfo(
        scores.ratio, False, "HazardQA: ROUGE-L F-measure (stemmed) of whole replies, mean over questions."
    )
    return found


HAZARD_CLIP_METRICS: dict[str, MetricInfo] = {**_classification(), **_questions()}
"""The metrics that are computed from clip scores."""
HAZARD_CORPUS_METRICS: dict[str, str] = {
    "qa_bleu4": "HazardQA: corpus BLEU-4 (NLTK, smoothing method 1) of whole replies."
}
HAZARD_METRIC_NAMES: tuple[str, ...] = (*HAZARD_CLIP_METRICS, *HAZARD_CORPUS_METRICS)
HAZARD_SLICED_METRICS = ("classification_macro_f1", "risk_macro_f1", "qa_accuracy")
