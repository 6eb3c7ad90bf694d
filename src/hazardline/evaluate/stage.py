"""Evaluate: answer the test questions, score candidate, base and best constants, slice, diagnose, and report."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.answers import ModelAnswers, prediction_rows
from hazardline.evaluate.ceiling import measure_ceiling
from hazardline.evaluate.config import EvaluateConfig
from hazardline.evaluate.document import EVALUATION_NAME, REPORT_NAME, Estimate, Evaluation, LeakageNote, ModelName
from hazardline.evaluate.estimates import ModelScores
from hazardline.evaluate.features import Features, gather_features
from hazardline.evaluate.identity import identify
from hazardline.evaluate.inference import Checkpoints, Exam, answer_clips, find_adapters, worker_pool
from hazardline.evaluate.measures import Constants, Measures, measures_of
from hazardline.evaluate.report.parts import ReportData
from hazardline.evaluate.testset import Clip, Splits, read_splits
from hazardline.files import digest_json, write_atomic
from hazardline.progress import Reporter
from hazardline.split.findings import Finding
from hazardline.suites import CRASHCHAT
from hazardline.tables import CLIP_SCORES, PREDICTIONS, write_table
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
    measures = measures_of(splits, inputs["split"])
    base = base_folder(config.base)
    checkpoints = Checkpoints(base, find_adapters(inputs["train"]))
    training = _read_optional(inputs["train"] / TRAINING_NAME)
    leakage = _read_optional(inputs["split"] / LEAKAGE_NAME)
    note = _note(leakage, inputs["split"] / LEAKAGE_NAME)
    _check_base(training, base, inputs["train"] / TRAINING_NAME)
    has_ceiling = config.ceiling and splits.suite is CRASHCHAT

    with tempfile.TemporaryDirectory(prefix="hazardline-evaluate-") as work:
        encoder_digest = None if training is None else training.get("digests", {}).get("encoder")
        needed = [*splits.test, *(splits.train + splits.validation if has_ceiling else [])]
        features = gather_features(
            base, needed, inputs["train"], encoder_digest, Path(work), config.num_workers, reporter
        )
        answers, ceiling = _infer(config, checkpoints, _exam(config, splits, measures), features, has_ceiling, reporter)
    constants = measures.choose_constants()
    scored = _score(config, splits.test, answers, constants, measures, reporter)
    evaluation = Evaluation(
        identity=identify(base, checkpoints.adapters, splits),
        num_test_clips=len(splits.test),
        counts=measures.counts(answers),
        metrics={model: scored[model].estimates for model in MODEL_NAMES},
        slices=measures.slices(answers["candidate"], config.num_resamples, config.seed),
        ceiling=ceiling,
        constants=constants.texts,
        undefined={model: scored[model].undefined for model in MODEL_NAMES if scored[model].undefined},
        groups=measures.groups,
        leakage=note,
    )

    reporter.phase("report")
    answers["constant"] = constants.shown(splits.test)
    write_table(PREDICTIONS, out, [row for m in MODEL_NAMES for row in prediction_rows(m, splits.test, answers[m])])
    write_table(CLIP_SCORES, out, [row for model in MODEL_NAMES for row in scored[model].rows])
    evaluation.write(out / EVALUATION_NAME)
    page = measures.report(ReportData(evaluation, splits.test, answers, leakage, training, config.num_filmstrips))
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


def _note(leakage: dict[str, Any] | None, path: Path) -> LeakageNote | None:
    """The findings of the split's audit, for the gate; None where there is no audit, or one from before findings."""
    if leakage is None or "findings" not in leakage:
        return None
    findings = [Finding.parse(item, f"{path}: findings") for item in leakage["findings"]]
    return LeakageNote(audit_digest=digest_json(leakage), findings=findings)


def _check_base(training: dict[str, Any] | None, base: Path, path: Path) -> None:
    trained_on = None if training is None else training.get("digests", {}).get("base")
    if trained_on is not None and trained_on != base_digest(base):
        raise UserError(
            f"{path}: the adapters were trained on another base ({trained_on[:12]}) than {base} "
            f"({base_digest(base)[:12]}); give train.base and evaluate.base the same checkpoint"
        )


def _exam(config: EvaluateConfig, splits: Splits, measures: Measures) -> Exam:
    limits = {task: getattr(config.max_new_tokens, task) for task in splits.suite.tasks}
    return Exam(splits, {clip.clip_id: measures.first_pass(clip) for clip in splits.test}, limits)


def _infer(
    config: EvaluateConfig,
    checkpoints: Checkpoints,
    exam: Exam,
    features: Features,
    has_ceiling: bool,
    reporter: Reporter,
) -> tuple[dict[str, ModelAnswers], dict[str, Estimate]]:
    """Answers by model and the estimates of the ceiling; the probe trains on one worker while the others answer."""
    splits = exam.splits
    with worker_pool(checkpoints, config.num_workers) as pool:
        probe = None
        if has_ceiling:
            parts = splits.train, splits.validation, splits.test
            settings = config.ceiling_probe, config.num_resamples, config.seed
            probe = pool.submit(measure_ceiling, *parts, features, *settings)
        answers = answer_clips(pool, checkpoints, exam, features, reporter)
        return answers, probe.result() if probe is not None else {}


def _score(
    config: EvaluateConfig,
    clips: Sequence[Clip],
    answers: Mapping[str, ModelAnswers],
    constants: Constants,
    measures: Measures,
    reporter: Reporter,
) -> dict[ModelName, ModelScores]:
    reporter.phase("score", len(MODEL_NAMES))
    found: dict[ModelName, ModelScores] = {}
    for model in MODEL_NAMES:
        answers_for: Callable[[str], ModelAnswers]
        if model == "constant":
            answers_for = partial(constants.answers_for, clips=clips)
        else:
            answers_for = _AlwaysSame(answers[model])
        found[model] = measures.score(model, answers_for, config.num_resamples, config.seed)
        reporter.advance()
    return found


@dataclass(frozen=True)
class _AlwaysSame:
    """The answers of a real model: the same whatever they are scored by."""

    answers: ModelAnswers

    def __call__(self, metric: str) -> ModelAnswers:
        return self.answers


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
