"""HazardNet's side of evaluation: classifications under a schema, HazardQA, and images resampled by their scene."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from hazardline.errors import UserError
from hazardline.evaluate import text
from hazardline.evaluate.answers import ModelAnswers
from hazardline.evaluate.document import SliceEstimate
from hazardline.evaluate.estimates import ModelScores, Resampling
from hazardline.evaluate.hazard_constants import HazardConstants
from hazardline.evaluate.hazard_scored import HAZARD_CLIP_METRICS, HAZARD_SLICED_METRICS
from hazardline.evaluate.hazard_scoring import bleu_rows, score_images, topics_of
from hazardline.evaluate.report.image_page import write_image_report
from hazardline.evaluate.report.parts import ReportData
from hazardline.evaluate.scored import MetricInfo
from hazardline.evaluate.scoring import ClipValues, score_rows, with_reference
from hazardline.evaluate.slices import slice_estimates
from hazardline.evaluate.testset import Clip, Splits
from hazardline.hazardnet import CLASSIFICATION, HAZARDNET_TASKS, parse_classification
from hazardline.tables import ASSIGNMENT, read_table
from hazardline.tasks import Task


@dataclass(frozen=True)
class HazardMeasures:
    """Measures of HazardNet's tasks."""

    splits: Splits
    groups: dict[str, str]
    clip_metrics: ClassVar[Mapping[str, MetricInfo]] = HAZARD_CLIP_METRICS

    @classmethod
    def of(cls, splits: Splits, split_folder: Path | None) -> Self:
        """Take the groups of the test images from the assignment.

        Raises:
            UserError: the assignment lacks an image.
        """
        return cls(splits, {} if split_folder is None else _groups(splits.test, split_folder))

    def first_pass(self, clip: Clip) -> tuple[Task, ...]:
        """What the image is asked in the QA table: a highway has no classification, and other topics another time."""
        return tuple(task for task in self.splits.suite.first_pass if task in clip.references)

    def clip_values(self, metric: str, clips: Sequence[Clip], answers: ModelAnswers) -> ClipValues:
        """Targets and values of one metric."""
        return score_images(metric, clips, answers)

    def choose_constants(self) -> HazardConstants:
        """Search the validation split."""
        return HazardConstants.choose(self.splits.validation)

    def score(
        self, model: str, answers_for: Callable[[str], ModelAnswers], num_resamples: int, seed: int
    ) -> ModelScores:
        """Every metric on the test images."""
        result, resampling = ModelScores(), Resampling(num_resamples, seed, self.groups)
        for metric in HAZARD_CLIP_METRICS:
            values = self.clip_values(metric, self.splits.test, answers_for(metric))
            result.rows += score_rows(model, metric, values)
            result.put(metric, resampling.clip_metric(metric, values))
        asked, counts = bleu_rows(self.splits.test, answers_for("qa_bleu4"))
        result.put("qa_bleu4", resampling.corpus(asked, counts, text.bleu4))
        result.rows.sort(key=lambda row: (row["metric"], row["clip_id"]))
        return result

    def slices(self, answers: ModelAnswers, num_resamples: int, seed: int) -> list[SliceEstimate]:
        """By scenario, weather and light."""
        values = {metric: self.clip_values(metric, self.splits.test, answers) for metric in HAZARD_SLICED_METRICS}
        return slice_estimates(self.splits.test, values, num_resamples, seed, self.groups)

    def counts(self, answers: Mapping[str, ModelAnswers]) -> dict[str, int]:
        """Images by label and risk, questions by task, and what could not be parsed."""
        test = self.splits.test
        asked = with_reference(test, CLASSIFICATION)
        risks = sum(self.splits.suite.says_yes(clip.references[CLASSIFICATION]) for clip in asked)
        counts = {f"images_{label}": sum(clip.label == label for clip in test) for label in ("near_miss", "normal")}
        counts |= {"images_with_risk": risks, "images_without_risk": len(asked) - risks}
        counts["images_without_scene_class"] = len(test) - len(asked)
        counts["image_groups"] = len({self.groups[clip.clip_id] for clip in test}) if self.groups else len(test)
        counts |= {f"questions_{task}": len(with_reference(test, task)) for task in HAZARDNET_TASKS}
        counts["train_images"], counts["validation_images"] = len(self.splits.train), len(self.splits.validation)
        for model in ("candidate", "base"):
            counts |= _answer_counts(model, test, answers[model])
        return counts

    def report(self, data: ReportData) -> str:
        """Metrics, fields, confusion and images."""
        return write_image_report(data)


def _groups(clips: Sequence[Clip], split_folder: Path) -> dict[str, str]:
    known = {row["clip_id"]: row["group_id"] for row in read_table(ASSIGNMENT, split_folder)}
    for clip in clips:
        if clip.clip_id not in known:
            raise UserError(
                f"{split_folder / ASSIGNMENT.file_name}: lacks image {clip.clip_id}; give the split that the questions "
                "were written for"
            )
    return {clip.clip_id: known[clip.clip_id] for clip in clips}


def _answer_counts(model: str, clips: Sequence[Clip], answers: ModelAnswers) -> dict[str, int]:
    classified = [answers[clip.clip_id][CLASSIFICATION] for clip in with_reference(clips, CLASSIFICATION)]
    replies = [answers[clip.clip_id][task].text for clip in clips for task in topics_of(clip)]
    return {
        f"{model}_unparsable_classification": sum(parse_classification(item.text) is None for item in classified),
        f"{model}_unparsable_free_classification": sum(
            item.free is not None and parse_classification(item.free) is None for item in classified
        ),
        f"{model}_replies_without_final_answer": sum("Answer:" not in reply for reply in replies),
    }
