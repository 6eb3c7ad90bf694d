"""Evaluate: answer the test questions, score candidate, base and best constants, slice, diagnose, and report."""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.answers import ModelAnswers, answer_counts, prediction_rows
from hazardline.evaluate.ceiling import measure_ceiling
from hazardline.evaluate.config import EvaluateConfig
from hazardline.evaluate.constants import choose_constants, constant_answers, shown_answers
from hazardline.evaluate.document import EVALUATION_NAME, REPORT_NAME, Estimate, Evaluation, ModelName
from hazardline.evaluate.estimates import ModelScores, Scorer
from hazardline.evaluate.features import Features, gather_features
from hazardline.evaluate.identity import identify
from hazardline.evaluate.inference import Checkpoints, Questions, answer_clips, find_adapters, worker_pool
from hazardline.evaluate.report.page import ReportData, write_report
from hazardline.evaluate.scoring import Canon, pre_crash_times, score_clips, with_reference
from hazardline.evaluate.slices import SLICED_METRICS, slice_estimates
from hazardline.evaluate.testset import Clip, Splits, read_splits
from hazardline.files import write_atomic
from hazardline.progress import Reporter
from hazardline.tables import CLIP_SCORES, PREDICTIONS, write_table
from hazardline.tasks import TASKS
from hazardline.train.base import base_digest, base_folder

TRAINING_NAME = "training.json"
LEAKAGE_NAME = "leakage.json"
MODEL_NAMES: tuple[ModelName, ...] = ("base", "constant", "candidate")


def run(config: EvaluateConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Write `predictions.parquet`, `clip_scores.parquet`, `evaluation.json` and `report.html`.

    Args:
        config: the section.
        inputs: `ingest`, `split`, `synthesize` and `train`.
        out: empty folder.
        reporter: a unit a clip and pass, then a unit a model that is scored.

    Returns:
        `num_test_clips`, `metrics` by model and name as `{value, interval, n}`, `ceiling` in the same form, `counts`.

    Raises:
        UserError: the inputs do not belong together, or a clip cannot be read any more.
    """
    splits = read_splits(inputs)
    base = base_folder(config.base)
    checkpoints = Checkpoints(base, find_adapters(inputs["train"]))
    training = _read_optional(inputs["train"] / TRAINING_NAME)
    _check_base(training, base, inputs["train"] / TRAINING_NAME)

    with tempfile.TemporaryDirectory(prefix="hazardline-evaluate-") as work:
        encoder_digest = None if training is None else training.get("digests", {}).get("encoder")
        needed = [*splits.test, *(splits.train + splits.validation if config.ceiling else [])]
        features = gather_features(
            base, needed, inputs["train"], encoder_digest, Path(work), config.num_workers, reporter
        )
        answers, ceiling = _infer(config, checkpoints, splits, features, reporter)
    canon = Canon.build(splits.train, [*splits.validation, *splits.test])
    constants = choose_constants(splits.validation, canon)
    scored = _score(config, splits.test, answers, constants, canon, reporter)
    candidate_values = {
        metric: score_clips(metric, splits.test, answers["candidate"], canon) for metric in SLICED_METRICS
    }
    evaluation = Evaluation(
        identity=identify(base, checkpoints.adapters, splits),
        num_test_clips=len(splits.test),
        counts=_counts(splits, answers),
        metrics={model: scored[model].estimates for model in MODEL_NAMES},
        slices=slice_estimates(splits.test, candidate_values, config.num_resamples, config.seed),
        ceiling=ceiling,
        constants=constants,
        undefined={model: scored[model].undefined for model in MODEL_NAMES if scored[model].undefined},
    )

    reporter.phase("report")
    answers["constant"] = shown_answers(constants, splits.test)
    write_table(PREDICTIONS, out, [row for m in MODEL_NAMES for row in prediction_rows(m, splits.test, answers[m])])
    write_table(CLIP_SCORES, out, [row for model in MODEL_NAMES for row in scored[model].rows])
    evaluation.write(out / EVALUATION_NAME)
    leakage = _read_optional(inputs["split"] / LEAKAGE_NAME)
    page = write_report(ReportData(evaluation, splits.test, answers, leakage, training, config.num_filmstrips))
    write_atomic(out / REPORT_NAME, page.encode())
    return _summary(evaluation)


def _read_optional(path: Path) -> dict[str, Any] | None:
    """A JSON document of another stage that the report shows where it is there; None where it is not."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); run the stage that makes it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object; run the stage that makes it again")
    return found


def _check_base(training: dict[str, Any] | None, base: Path, path: Path) -> None:
    trained_on = None if training is None else training.get("digests", {}).get("base")
    if trained_on is not None and trained_on != base_digest(base):
        raise UserError(
            f"{path}: the adapters were trained on another base ({trained_on[:12]}) than {base} "
            f"({base_digest(base)[:12]}); give train.base and evaluate.base the same checkpoint"
        )


def _infer(
    config: EvaluateConfig, checkpoints: Checkpoints, splits: Splits, features: Features, reporter: Reporter
) -> tuple[dict[str, ModelAnswers], dict[str, Estimate]]:
    """Answers by model and the estimates of the ceiling; the probe trains on one worker while the others answer."""
    questions = Questions(splits.questions, {task: getattr(config.max_new_tokens, task) for task in TASKS})
    with worker_pool(checkpoints, questions, config.num_workers) as pool:
        probe = None
        if config.ceiling:
            parts = splits.train, splits.validation, splits.test
            settings = config.ceiling_probe, config.num_resamples, config.seed
            probe = pool.submit(measure_ceiling, *parts, features, *settings)
        answers = answer_clips(pool, checkpoints, splits.test, features, reporter)
        return answers, probe.result() if probe is not None else {}


def _score(
    config: EvaluateConfig,
    clips: Sequence[Clip],
    answers: Mapping[str, ModelAnswers],
    constants: dict[str, str],
    canon: Canon,
    reporter: Reporter,
) -> dict[ModelName, ModelScores]:
    scorer = Scorer(clips, canon, config.num_resamples, config.seed)
    reporter.phase("score", len(MODEL_NAMES))
    found: dict[ModelName, ModelScores] = {}
    for model in MODEL_NAMES:
        if model == "constant":
            found[model] = scorer.score(model, lambda metric: constant_answers(metric, constants, clips))
        else:
            found[model] = scorer.score(model, _AlwaysSame(answers[model]))
        reporter.advance()
    return found


@dataclass(frozen=True)
class _AlwaysSame:
    """The answers of a real model: the same whatever they are scored by."""

    answers: ModelAnswers

    def __call__(self, metric: str) -> ModelAnswers:
        return self.answers


def _counts(splits: Splits, answers: Mapping[str, ModelAnswers]) -> dict[str, int]:
    """Clips by label, questions by task, what was skipped, and what each model did."""
    labels = Counter(clip.label for clip in splits.test)
    timed = with_reference(splits.test, "pre_crash_localization")
    counts = {f"clips_{label}": labels[label] for label in ("crash", "near_miss", "normal")}
    for task in TASKS:
        counts[f"questions_{task}"] = len(with_reference(splits.test, task))
    counts["pre_crash_skipped"] = sum(pre_crash_times(clip) is None for clip in timed)
    counts["train_clips"], counts["validation_clips"] = len(splits.train), len(splits.validation)
    for model in ("candidate", "base"):
        counts |= answer_counts(model, splits.test, answers[model])
    return counts


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    def plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
        return {
            name: {"value": found.value, "interval": [found.low, found.high], "n": found.n}
            for name, found in estimates.items()
        }

    return {
        "num_test_clips": evaluation.num_test_clips,
        "metrics": {model: plain(found) for model, found in evaluation.metrics.items()},
        "ceiling": plain(evaluation.ceiling),
        "counts": evaluation.counts,
    }
