"""What the metrics share: they keep their inputs in memory and need neither the hub nor a cache on disk."""

import tempfile
from typing import Any

import datasets
import evaluate

_CITATION = "CrashChat, arXiv 2512.18878"


class LocalMetric(evaluate.Metric):  # type: ignore[misc]
    """An `evaluate.Metric` that is built from a class, not loaded by name: `RecognitionMetric().compute(...)`."""

    def __init__(self, **kwargs: Any) -> None:
        """Take the arguments of `evaluate.Metric`; inputs stay in memory unless another choice is made."""
        if not kwargs.get("keep_in_memory", True):
            super().__init__(**kwargs)
            return
        with tempfile.TemporaryDirectory() as unused:
            super().__init__(**{"keep_in_memory": True, "cache_dir": unused, "seed": 0, **kwargs})


def text_info(
    description: str, inputs: str, features: dict[str, str], citation: str = _CITATION
) -> evaluate.MetricInfo:
    """The info of a metric.

    Args:
        description: what it measures.
        inputs: what `predictions` and `references` (and further inputs) are.
        features: input name to Arrow type.
        citation: the paper that it comes from.
    """
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=inputs,
        features=datasets.Features({name: datasets.Value(kind) for name, kind in features.items()}),
    )
