"""The closed set of right answers, as labels."""

from collections.abc import Sequence

import evaluate
import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.metrics.base import LocalMetric, text_info
from hazardline.evaluate.text import normalised


class CanonicalAnswerMetric(LocalMetric):
    """Macro F1 over the distinct reference answers; an answer that is none of them is wrong and counted."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "Macro F1 over the distinct reference answers (case, blanks and a final full stop aside), and accuracy.",
            "predictions: texts; references: one text each.",
            {"predictions": "string", "references": "string"},
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        truth = [normalised(answer) for answer in references]
        numbers = {answer: float(number) for number, answer in enumerate(sorted(set(truth)))}
        targets = np.array([numbers[answer] for answer in truth])
        values = np.array([numbers.get(normalised(answer), scores.UNPARSABLE) for answer in predictions])
        return {
            "macro_f1": scores.single(scores.class_macro_f1, targets, values),
            "accuracy": scores.single(scores.accuracy, targets, values),
            "num_classes": len(numbers),
            "num_not_canonical": int((values == scores.UNPARSABLE).sum()),
        }
