"""Scene classification: one JSON object of four closed fields about an image (HazardNet, arXiv 2502.20572)."""

from collections.abc import Sequence

import evaluate
import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.hazard_scored import FIELD_NAMES, class_number, code_of
from hazardline.evaluate.metrics.base import LocalMetric, text_info
from hazardline.hazardnet import parse_classification


class SceneClassificationMetric(LocalMetric):
    """Macro and weighted F1 of each field and the share of images with all right; an unparsable answer is wrong."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "Macro and weighted F1 of scene, agent, action and risk (over the classes among the references), the mean "
            "of the four macro F1, and the share of images with all four fields right.",
            "predictions: answers; references: JSON objects of the four fields.",
            {"predictions": "string", "references": "string"},
            citation="HazardNet, arXiv 2502.20572",
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        said = [parse_classification(answer) for answer in predictions]
        truth = [parse_classification(answer) for answer in references]
        if None in truth:
            raise ValueError(f"reference {references[truth.index(None)]!r} is no classification of the four fields")
        found: dict[str, float] = {}
        for short, field in FIELD_NAMES.items():
            targets, values = (np.array([class_number(field, item) for item in items]) for items in (truth, said))
            found[f"{short}_macro_f1"] = scores.single(scores.class_macro_f1, targets, values)
            found[f"{short}_weighted_f1"] = scores.single(scores.class_weighted_f1, targets, values)
        codes = (np.array([code_of(item) for item in items]) for items in (truth, said))
        return {
            **found,
            "macro_f1": float(np.mean([found[f"{short}_macro_f1"] for short in FIELD_NAMES])),
            "exact": scores.single(scores.accuracy, *codes),
            "num_unparsable": said.count(None),
        }
