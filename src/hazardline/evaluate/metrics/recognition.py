"""Crash recognition: is there a crash, Yes or No."""

from collections.abc import Sequence

import evaluate
import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.metrics.base import LocalMetric, text_info
from hazardline.tasks import parse_recognition


class RecognitionMetric(LocalMetric):
    """Accuracy, binary precision, recall and F1 (class Yes), macro F1; an unparsable answer is wrong and counted."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "Accuracy, precision, recall and F1 of crash recognition, binary (Yes) and macro-averaged over Yes and No.",
            "predictions: answers; references: 'Yes' or 'No'.",
            {"predictions": "string", "references": "string"},
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        said = [parse_recognition(answer) for answer in predictions]
        truth = [parse_recognition(answer) for answer in references]
        if None in truth:
            raise ValueError(f"reference {references[truth.index(None)]!r} is neither 'Yes' nor 'No'")
        targets = np.array([float(bool(value)) for value in truth])
        values = np.array([scores.UNPARSABLE if value is None else float(value) for value in said])
        found = {f"{name}_no": value for name, value in _precision_recall(targets, values, 0.0).items()}
        yes = _precision_recall(targets, values, 1.0)
        return {
            "accuracy": scores.single(scores.accuracy, targets, values),
            "binary_precision": yes["precision"],
            "binary_recall": yes["recall"],
            "binary_f1": scores.single(scores.binary_f1, targets, values),
            "macro_precision": (yes["precision"] + found["precision_no"]) / 2,
            "macro_recall": (yes["recall"] + found["recall_no"]) / 2,
            "macro_f1": scores.single(scores.macro_f1, targets, values),
            "num_unparsable": said.count(None),
        }


def _precision_recall(targets: scores.Array, values: scores.Array, label: float) -> dict[str, float]:
    hits = float(((targets == label) & (values == label)).sum())
    predicted, present = float((values == label).sum()), float((targets == label).sum())
    return {"precision": hits / predicted if predicted else 0.0, "recall": hits / present if present else 0.0}
