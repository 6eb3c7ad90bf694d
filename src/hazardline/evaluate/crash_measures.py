"""CrashChat's side of evaluation: closed sets of texts, constants, two passes, slices and the page of filmstrips."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from hazardline.evaluate.answers import ModelAnswers, answer_counts
from hazardline.evaluate.constants import choose_constants, constant_answers, shown_answers
from hazardline.evaluate.document import SliceEstimate
from hazardline.evaluate.estimates import ModelScores, Scorer
from hazardline.evaluate.report.page import write_report
from hazardline.evaluate.report.parts import ReportData
from hazardline.evaluate.scored import CLIP_METRICS, MetricInfo
from hazardline.evaluate.scoring import Canon, ClipValues, pre_crash_times, score_clips, with_reference
from hazardline.evaluate.slices import SLICED_METRICS, slice_estimates
from hazardline.evaluate.testset import Clip, Splits
from hazardline.tasks import TASKS, Task


@dataclass(frozen=True)
class CrashConstants:
    """The best constant answer to every metric."""

    texts: dict[str, str]

    def answers_for(self, metric: str, clips: Sequence[Clip]) -> ModelAnswers:
        """The metric's own constant for its task."""
        return constant_answers(metric, self.texts, clips)

    def shown(self, clips: Sequence[Clip]) -> ModelAnswers:
        """One constant a task."""
        return shown_answers(self.texts, clips)


@dataclass(frozen=True)
class CrashMeasures:
    """Measures of CrashChat's six tasks. Clips stand alone, so each is resampled by itself."""

    splits: Splits
    canon: Canon
    clip_metrics: ClassVar[Mapping[str, MetricInfo]] = CLIP_METRICS
    groups: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls, splits: Splits) -> Self:
        """Families of descriptions from the training clips, closed sets of answers from all."""
        return cls(splits, Canon.build(splits.train, [*splits.validation, *splits.test]))

    def first_pass(self, clip: Clip) -> tuple[Task, ...]:
        """All of the first pass, whatever the annotation holds."""
        return self.splits.suite.first_pass

    def clip_values(self, metric: str, clips: Sequence[Clip], answers: ModelAnswers) -> ClipValues:
        """Targets and values of one metric."""
        return score_clips(metric, clips, answers, self.canon)

    def choose_constants(self) -> CrashConstants:
        """Search the validation split."""
        return CrashConstants(choose_constants(self.splits.validation, self.canon))

    def score(
        self, model: str, answers_for: Callable[[str], ModelAnswers], num_resamples: int, seed: int
    ) -> ModelScores:
        """Every metric on the test clips."""
        return Scorer(self.splits.test, self.canon, num_resamples, seed).score(model, answers_for)

    def slices(self, answers: ModelAnswers, num_resamples: int, seed: int) -> list[SliceEstimate]:
        """By scenario, weather, light and kind of negative."""
        values = {metric: self.clip_values(metric, self.splits.test, answers) for metric in SLICED_METRICS}
        return slice_estimates(self.splits.test, values, num_resamples, seed)

    def counts(self, answers: Mapping[str, ModelAnswers]) -> dict[str, int]:
        """Clips by label, questions by task, what was skipped, and what each model did."""
        splits = self.splits
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

    def report(self, data: ReportData) -> str:
        """Metrics, times, recognition and filmstrips."""
        return write_report(data)
