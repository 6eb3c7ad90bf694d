"""Crash localization: from when to when is the crash."""

from collections.abc import Sequence

import evaluate
import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.metrics.base import LocalMetric, text_info
from hazardline.tasks import parse_interval


class CrashLocalizationMetric(LocalMetric):
    """Mean IoU of intervals and the share of clips at IoU .3, .5 and .7; an unparsable answer has IoU 0."""

    def _info(self) -> evaluate.MetricInfo:
        return text_info(
            "mIoU of crash intervals (swapped ends repaired) and CrashChat's AP@30/50/70: the share of clips whose IoU "
            "reaches the threshold.",
            "predictions: answers; references: intervals such as '1.9 - 4.0 seconds'.",
            {"predictions": "string", "references": "string"},
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        said = [parse_interval(answer) for answer in predictions]
        ious = []
        for interval, reference in zip(said, references, strict=True):
            true = parse_interval(reference)
            if true is None:
                raise ValueError(f"reference {reference!r} is no interval; expected '1.9 - 4.0 seconds'")
            ious.append(scores.interval_iou(interval, true))
        shares = {
            name.removeprefix("crash_"): float(np.mean([scores.reaches(iou, threshold) for iou in ious]))
            for name, threshold in scores.IOU_THRESHOLDS.items()
        }
        return {"miou": float(np.mean(ious)), **shares, "num_unparsable": said.count(None)}
