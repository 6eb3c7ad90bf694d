"""Can the model tell a crash from its near-miss twin?"""

from collections.abc import Sequence

import evaluate
import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.metrics.base import LocalMetric, text_info

_LABELS = ("crash", "near_miss", "normal")


class NearMissAucMetric(LocalMetric):
    """Area under the ROC curve of the log-odds of Yes: crash against near miss, and crash against normal driving."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "Chance that a crash has a higher score than a near miss (near_miss_auc) or a normal clip (normal_auc); "
            "ties count one half. A comparison without clips is left out.",
            "predictions: scores, for example log-odds of Yes against No; references: crash, near_miss or normal.",
            {"predictions": "float64", "references": "string"},
        )

    def _compute(self, predictions: Sequence[float], references: Sequence[str]) -> dict[str, float]:
        odd = sorted(set(references) - set(_LABELS))
        if odd:
            raise ValueError(f"reference {odd[0]!r} is no label; expected one of {', '.join(_LABELS)}")
        values, labels = np.array(predictions, dtype=np.float64), np.array(references)
        found = {}
        for negative in ("near_miss", "normal"):
            chosen = (labels == "crash") | (labels == negative)
            targets = (labels[chosen] == "crash").astype(np.float64)
            if len(np.unique(targets)) == 2:
                found[f"{negative}_auc"] = scores.single(scores.roc_auc, targets, values[chosen])
        return found
