"""Every metric of a model with its interval, from its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hazardline.evaluate import bootstrap, text
from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.document import Estimate
from hazardline.evaluate.scored import CLIP_METRICS, TEXTS
from hazardline.evaluate.scores import Array
from hazardline.evaluate.scoring import Canon, score_clips, score_rows, texts_of, with_reference
from hazardline.evaluate.testset import Clip


@dataclass
class ModelScores:
    """Estimates by metric name, the rows of the clip scores table behind them, and metrics that are not defined."""

    estimates: dict[str, Estimate] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    undefined: list[str] = field(default_factory=list)

    def put(self, metric: str, found: Estimate | None) -> None:
        """Keep an estimate, or note that the metric is not defined on these clips."""
        if found is None:
            self.undefined.append(metric)
        else:
            self.estimates[metric] = found


@dataclass(frozen=True)
class Scorer:
    """Scores answers to a fixed set of clips, always with the same resamples."""

    clips: Sequence[Clip]
    canon: Canon
    num_resamples: int
    seed: int

    def score(self, model: str, answers_for: Callable[[str], ModelAnswers]) -> ModelScores:
        """Score a model.

        Args:
            model: name in the rows.
            answers_for: metric name -> answers. A real model gives the same answers whatever the metric; the constant
                one gives the constant that is best for it.
        """
        result = ModelScores()
        for metric in CLIP_METRICS:
            values = score_clips(metric, self.clips, answers_for(metric), self.canon)
            result.rows += score_rows(model, metric, values)
            result.put(
                metric,
                bootstrap.metric_estimate(metric, values.targets, values.values, self.num_resamples, self.seed),
            )
        for short in TEXTS:
            for metric in (f"{short}_bleu4", f"{short}_positive_bleu4", f"{short}_sacrebleu"):
                result.put(metric, self._corpus(metric, answers_for(metric)))
        result.rows.sort(key=lambda row: (row["metric"], row["clip_id"]))
        return result

    def _corpus(self, metric: str, answers: ModelAnswers) -> Estimate | None:
        counts = corpus_counts(metric, self.clips, answers)
        score = corpus_score(metric)
        if not len(counts):
            return None
        return bootstrap.estimate(
            lambda weights: score(weights @ counts), len(counts), None, self.num_resamples, self.seed
        )


def corpus_counts(metric: str, clips: Sequence[Clip], answers: ModelAnswers) -> Array:
    """Counts of a corpus metric, a clip a row (see `hazardline.evaluate.text`)."""
    task = TEXTS[metric.split("_", maxsplit=1)[0]]
    chosen = with_reference(clips, task, crashes_only="_positive_" in metric)
    count = text.sacrebleu_counts if metric.endswith("sacrebleu") else text.bleu_counts
    return count(*texts_of(chosen, answers, task)) if chosen else np.zeros((0, 2 * text.MAX_ORDER + 2))


def corpus_score(metric: str) -> Callable[[Array], Array]:
    """The function from summed counts to the score of a corpus metric."""
    return text.sacrebleu if metric.endswith("sacrebleu") else text.bleu4
