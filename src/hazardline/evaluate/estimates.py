"""Every metric of a model with its interval, from its answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hazardline.evaluate import bootstrap, text
from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.document import Estimate
from hazardline.evaluate.scored import CLIP_METRICS, TEXTS
from hazardline.evaluate.scores import Array
from hazardline.evaluate.scoring import Canon, ClipValues, score_clips, score_rows, texts_of, with_reference
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
class Resampling:
    """How intervals are drawn: so many resamples from a seed, of clips or of their groups."""

    num_resamples: int
    seed: int
    groups: Mapping[str, str] | None = None
    """Group by clip_id; None where clips stand alone."""

    def of(self, clip_ids: Sequence[str]) -> list[str] | None:
        """The groups of some clips."""
        return [self.groups[clip_id] for clip_id in clip_ids] if self.groups else None

    def clip_metric(self, metric: str, found: ClipValues) -> Estimate | None:
        """A metric that is computed from clip scores; None where it is not defined."""
        named = self.of(found.clip_ids)
        return bootstrap.metric_estimate(metric, found.targets, found.values, self.num_resamples, self.seed, named)

    def corpus(self, clip_ids: Sequence[str], counts: Array, score: Callable[[Array], Array]) -> Estimate | None:
        """A metric that is computed from summed counts, a clip a row; None without any clip."""
        if not len(counts):
            return None
        named = self.of(clip_ids)
        return bootstrap.estimate(lambda w: score(w @ counts), len(counts), None, self.num_resamples, self.seed, named)


@dataclass(frozen=True)
class Scorer:
    """Scores answers to CrashChat's questions about a fixed set of clips, always with the same resamples."""

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
        result, resampling = ModelScores(), Resampling(self.num_resamples, self.seed)
        for metric in CLIP_METRICS:
            values = score_clips(metric, self.clips, answers_for(metric), self.canon)
            result.rows += score_rows(model, metric, values)
            result.put(metric, resampling.clip_metric(metric, values))
        for short in TEXTS:
            for metric in (f"{short}_bleu4", f"{short}_positive_bleu4", f"{short}_sacrebleu"):
                counts = corpus_counts(metric, self.clips, answers_for(metric))
                result.put(metric, resampling.corpus([], counts, corpus_score(metric)))
        result.rows.sort(key=lambda row: (row["metric"], row["clip_id"]))
        return result


def corpus_counts(metric: str, clips: Sequence[Clip], answers: ModelAnswers) -> Array:
    """Counts of a corpus metric, a clip a row (see `hazardline.evaluate.text`)."""
    task = TEXTS[metric.split("_", maxsplit=1)[0]]
    chosen = with_reference(clips, task, crashes_only="_positive_" in metric)
    count = text.sacrebleu_counts if metric.endswith("sacrebleu") else text.bleu_counts
    return count(*texts_of(chosen, answers, task)) if chosen else np.zeros((0, 2 * text.MAX_ORDER + 2))


def corpus_score(metric: str) -> Callable[[Array], Array]:
    """The function from summed counts to the score of a corpus metric."""
    return text.sacrebleu if metric.endswith("sacrebleu") else text.bleu4
