"""What evaluation measures of a suite: the stage around it is the same for all of them.

`CrashMeasures` is CrashChat's side of it, `HazardMeasures` HazardNet's.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.crash_measures import CrashMeasures
from hazardline.evaluate.document import SliceEstimate
from hazardline.evaluate.estimates import ModelScores
from hazardline.evaluate.hazard_measures import HazardMeasures
from hazardline.evaluate.report.parts import ReportData
from hazardline.evaluate.scored import MetricInfo
from hazardline.evaluate.scoring import ClipValues, score_rows
from hazardline.evaluate.testset import Clip, Splits
from hazardline.suites import CRASHCHAT
from hazardline.tasks import Task


class Constants(Protocol):
    """The best answers that look at nothing, chosen on validation: the floor under every metric."""

    @property
    def texts(self) -> dict[str, str]:
        """What the constant is, by metric."""

    def answers_for(self, metric: str, clips: Sequence[Clip]) -> ModelAnswers:
        """What the constant model answers when it is scored by a metric."""

    def shown(self, clips: Sequence[Clip]) -> ModelAnswers:
        """One constant a question, for the predictions table."""


class Measures(Protocol):
    """Metrics, constants, parts, counts and report of one suite on one data set."""

    @property
    def clip_metrics(self) -> Mapping[str, MetricInfo]:
        """The metrics that are computed from clip scores."""

    @property
    def groups(self) -> dict[str, str]:
        """Group of every test clip, where whole groups are resampled; empty where clips are."""

    def first_pass(self, clip: Clip) -> tuple[Task, ...]:
        """What a clip is asked first."""

    def clip_values(self, metric: str, clips: Sequence[Clip], answers: ModelAnswers) -> ClipValues:
        """Targets and values of one of `clip_metrics`."""

    def choose_constants(self) -> Constants:
        """The best constants on the validation split."""

    def score(
        self, model: str, answers_for: Callable[[str], ModelAnswers], num_resamples: int, seed: int
    ) -> ModelScores:
        """Every metric of a model on the test split; `answers_for` gives its answers for a metric."""

    def slices(self, answers: ModelAnswers, num_resamples: int, seed: int) -> list[SliceEstimate]:
        """The main metrics of a model on parts of the test split."""

    def counts(self, answers: Mapping[str, ModelAnswers]) -> dict[str, int]:
        """What was asked, and what each model made of it."""

    def report(self, data: ReportData) -> str:
        """The page (HTML)."""


def measures_of(splits: Splits, split_folder: Path | None) -> Measures:
    """The measures of the suite that a data set belongs to.

    Args:
        splits: the clips.
        split_folder: output of the split stage, for the groups of images; None where no interval is wanted.
    """
    return CrashMeasures.of(splits) if splits.suite is CRASHCHAT else HazardMeasures.of(splits, split_folder)


def clip_score_rows(model: str, metrics: Sequence[str], splits: Splits, answers: ModelAnswers) -> list[dict[str, Any]]:
    """Rows of the clip scores table of some metrics: what two models are compared by (`bootstrap.paired_difference`).

    Args:
        model: name in the rows.
        metrics: names of the suite's `clip_metrics`.
        splits: the clips; the answers are to those of the test split.
        answers: by clip_id and task.
    """
    measures = measures_of(splits, None)
    return [
        row
        for metric in metrics
        for row in score_rows(model, metric, measures.clip_values(metric, splits.test, answers))
    ]
