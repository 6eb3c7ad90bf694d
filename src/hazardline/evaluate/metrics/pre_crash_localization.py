"""Pre-crash localization: when is the first sign of the crash."""

from collections.abc import Sequence

import evaluate
import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.metrics.base import LocalMetric, text_info
from hazardline.tasks import parse_point


class PreCrashLocalizationMetric(LocalMetric):
    """CrashChat's pre-crash score with its 0.5 s window, and the time to the accident; skipped clips are counted."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "Mean pre-crash score (0 at or after the crash start and more than 0.5 s early, 1 up to 0.5 s early, else "
            "falling linearly to 0 at the crash start), mean time to the accident, true and predicted, and its error.",
            "predictions: answers; references: points such as '1.0 seconds'; crash_starts: seconds.",
            {"predictions": "string", "references": "string", "crash_starts": "float64"},
        )

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str], crash_starts: Sequence[float]
    ) -> dict[str, float]:
        said = [parse_point(answer) for answer in predictions]
        values, true_tta, predicted_tta = [], [], []
        for point, reference, start_s in zip(said, references, crash_starts, strict=True):
            true_s = parse_point(reference)
            if true_s is None:
                raise ValueError(f"reference {reference!r} is no time; expected '1.0 seconds'")
            value = scores.pre_crash_score(point, true_s, start_s)
            if value is not None:
                values.append(value)
                true_tta.append(scores.time_to_accident_s(true_s, start_s))
                predicted_tta.append(scores.time_to_accident_s(point, start_s))
        if not values:
            raise ValueError("every clip is skipped: no crash starts after its pre-crash point")
        return {
            "score": float(np.mean(values)),
            "true_tta_s": float(np.mean(true_tta)),
            "predicted_tta_s": float(np.mean(predicted_tta)),
            "tta_abs_error_s": float(np.mean(np.abs(np.subtract(true_tta, predicted_tta)))),
            "num_unparsable": said.count(None),
            "num_skipped": len(said) - len(values),
        }
