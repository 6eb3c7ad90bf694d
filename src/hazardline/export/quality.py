"""The quality gate: what quantising costs on the test set, in divergence, agreement and the metrics that are gated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hazardline.errors import UserError
from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.bootstrap import ALL_CLIP_METRICS, paired_difference
from hazardline.evaluate.document import EVALUATION_NAME, Estimate, Evaluation
from hazardline.evaluate.measures import clip_score_rows, measures_of
from hazardline.evaluate.scores import single
from hazardline.evaluate.slices import parts
from hazardline.evaluate.testset import Splits
from hazardline.export.answering import Job, Result, answer_job, spread, worker_pool
from hazardline.export.config import MAX_DROP, ExportConfig
from hazardline.export.document import MetricDrop, Quality, SliceDrop
from hazardline.progress import Reporter
from hazardline.tables import CLIP_SCORES, PREDICTIONS, read_table

CANDIDATE = "candidate"
QUANTISED = "quantised"
_NEVER_MEASURED = "free_parse_failure_rate"
"""A bundle always decodes under its schema."""
_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class FloatSide:
    """What evaluation found of the float model: its clip scores and predictions, and how clips are resampled."""

    scores: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    groups: dict[str, str] = field(default_factory=dict)
    """Group of every test clip, where whole groups are resampled."""

    @classmethod
    def read(cls, evaluation: Path) -> "FloatSide":
        """What the evaluate stage wrote of the candidate."""
        return cls(
            [row for row in read_table(CLIP_SCORES, evaluation) if row["model"] == CANDIDATE],
            [row for row in read_table(PREDICTIONS, evaluation) if row["model"] == CANDIDATE],
            Evaluation.read(evaluation / EVALUATION_NAME).groups,
        )


def check_quality(
    quantised: Path, floating: Path, splits: Splits, float_side: FloatSide, config: ExportConfig, reporter: Reporter
) -> Quality:
    """Answer the test set with the quantised bundle and hold it against the float model.

    Args:
        quantised: bundle folder.
        floating: bundle folder of the same model without quantisation.
        splits: the clips.
        float_side: what evaluation found.
        config: limits, workers, bootstrap.
        reporter: progress.

    Raises:
        UserError: a limit is broken; it names the numbers. Or a limit is set to a metric that the suite lacks.
    """
    max_drop = allowed_drops(config, splits)
    results = answer_test_set(quantised, floating, splits, config, reporter)
    reporter.phase("score")
    rows = clip_score_rows(QUANTISED, list(max_drop), splits, _answers(results))
    drops = [_drop(metric, allowed, float_side, rows, config) for metric, allowed in max_drop.items()]
    num_tokens = sum(result.forced.num_tokens for result in results)
    sum_kl = sum(result.forced.sum_kl for result in results)
    if not math.isfinite(sum_kl):
        raise UserError("export: the quality gate is closed: the quantised bundle gives logits that are no numbers")
    said = {(result.clip_id, task): text for result in results for task, text in result.answers.items()}
    pairs = [(row["prediction"], said.get((row["clip_id"], row["task"]))) for row in float_side.predictions]
    found = Quality(
        num_clips=len(results),
        num_forced_clips=sum(result.forced.num_tokens > 0 for result in results),
        num_tokens=num_tokens,
        mean_kl=max(0.0, sum_kl / num_tokens),
        max_mean_kl=config.quality.max_mean_kl,
        top1_agreement=sum(result.forced.num_agreeing for result in results) / num_tokens,
        min_top1_agreement=config.quality.min_top1_agreement,
        equal_answers_share=sum(first == second for first, second in pairs) / max(1, len(pairs)),
        drops=drops,
        worst_slice=_worst_slice(list(max_drop), float_side, rows, splits, config),
    )
    _raise_if_closed(found)
    return found


def answer_test_set(
    quantised: Path, floating: Path, splits: Splits, config: ExportConfig, reporter: Reporter
) -> list[Result]:
    """The answers of the quantised bundle to every test clip, in the order of the clips."""
    jobs = jobs_of(splits, config.quality.num_forced_clips)
    reporter.phase("quality gate", len(jobs))
    results = []
    with worker_pool(quantised, floating, config.num_workers) as pool:
        for result in pool.map(answer_job, jobs, chunksize=4):
            results.append(result)
            reporter.advance()
    return results


def jobs_of(splits: Splits, num_forced: int) -> list[Job]:
    """A job for every test clip, in their order, with what evaluation asked it; some of them forced."""
    forced, measures = spread(len(splits.test), num_forced), measures_of(splits, None)
    jobs = []
    for index, clip in enumerate(splits.test):
        asked = (*measures.first_pass(clip), *splits.suite.second_pass)
        questions = {task: splits.question(clip, task) for task in asked}
        jobs.append(Job(clip.clip_id, clip.video, questions, dict(clip.references), index in forced))
    return jobs


def allowed_drops(config: ExportConfig, splits: Splits) -> dict[str, float]:
    """What each gated metric may lose, in the order of their names.

    Raises:
        UserError: the suite has no such metric.
    """
    max_drop = config.quality.max_drop or MAX_DROP[splits.suite.name]
    known = [name for name in measures_of(splits, None).clip_metrics if name != _NEVER_MEASURED]
    unknown = sorted(set(max_drop) - set(known))
    if unknown:
        raise UserError(
            f"export.quality.max_drop: {unknown[0]} is no metric of {splits.suite.name} that a bundle can be held to; "
            f"there are {', '.join(known)}"
        )
    return dict(sorted(max_drop.items()))


def _answers(results: Sequence[Result]) -> ModelAnswers:
    return {
        result.clip_id: {
            task: Answer(text, score=result.crash_log_odds if task == "crash_recognition" else None)
            for task, text in result.answers.items()
        }
        for result in results
    }


def _drop(metric: str, max_drop: float, float_side: FloatSide, rows: _Rows, config: ExportConfig) -> MetricDrop:
    return MetricDrop(
        metric=metric,
        float_value=_value(metric, float_side.scores),
        quantised_value=_value(metric, rows),
        drop=_loss(metric, float_side.scores, rows, float_side.groups, config),
        max_drop=max_drop,
    )


def _value(metric: str, rows: _Rows) -> float:
    chosen = [row for row in rows if row["metric"] == metric]
    targets, values = (np.array([row[key] for row in chosen], dtype=np.float64) for key in ("target", "value"))
    return single(ALL_CLIP_METRICS[metric].score, targets, values)


def _loss(metric: str, float_rows: _Rows, rows: _Rows, groups: Mapping[str, str], config: ExportConfig) -> Estimate:
    first, second = (rows, float_rows) if ALL_CLIP_METRICS[metric].lower_is_better else (float_rows, rows)
    return paired_difference(first, second, metric, config.num_resamples, config.seed, groups)


def _worst_slice(
    metrics: Sequence[str], float_side: FloatSide, rows: _Rows, splits: Splits, config: ExportConfig
) -> SliceDrop | None:
    """The part of the test set and the gated metric with the largest loss, among parts that are large enough."""
    worst: SliceDrop | None = None
    for dimension, value, members in parts(splits.test):
        inside = [[row for row in side if row["clip_id"] in members] for side in (float_side.scores, rows)]
        for metric in metrics:
            targets = [row["target"] for row in inside[1] if row["metric"] == metric]
            is_defined = len(set(targets)) > 1 or not ALL_CLIP_METRICS[metric].is_stratified
            if len(targets) < config.quality.min_slice_clips or not is_defined:
                continue
            drop = _loss(metric, inside[0], inside[1], float_side.groups, config)
            if worst is None or drop.value > worst.drop.value:
                worst = SliceDrop(dimension=dimension, value=value, metric=metric, drop=drop)
    return worst


def _raise_if_closed(found: Quality) -> None:
    problems = []
    if not found.mean_kl <= found.max_mean_kl:
        problems.append(f"mean divergence {found.mean_kl:.4f} nats, allowed are {found.max_mean_kl:.4f}")
    if not found.top1_agreement >= found.min_top1_agreement:
        problems.append(f"top-1 agreement {found.top1_agreement:.4f}, needed is {found.min_top1_agreement:.4f}")
    problems += [
        f"{item.metric} falls from {item.float_value:.3f} to {item.quantised_value:.3f} "
        f"(by {item.drop.value:.3f} [{item.drop.low:.3f}, {item.drop.high:.3f}], allowed are {item.max_drop:.3f})"
        for item in found.drops
        if not item.drop.value <= item.max_drop
    ]
    if problems:
        raise UserError(
            f"export: the quality gate is closed: {'; '.join(problems)}. Use export.decoder_bits 8, a smaller "
            "block_size or accuracy_level 0, or allow more in export.quality"
        )
