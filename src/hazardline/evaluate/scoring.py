"""From answers to clip scores: what every metric of `CLIP_METRICS` is computed from, a target and a value a clip."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hazardline.evaluate import scores, text
from hazardline.evaluate.answers import ModelAnswers, says_yes
from hazardline.evaluate.family import FamilyIndex
from hazardline.evaluate.scored import TEXTS
from hazardline.evaluate.scores import Array
from hazardline.evaluate.testset import Clip
from hazardline.tasks import Task, parse_interval, parse_point, parse_recognition


@dataclass(frozen=True)
class ClipValues:
    """Targets and values of one metric, a clip each."""

    clip_ids: list[str]
    targets: Array
    values: Array

    @classmethod
    def of(cls, rows: Iterable[tuple[str, float, float]]) -> Self:
        """From (clip_id, target, value)."""
        found = list(rows)
        return cls(
            [clip_id for clip_id, _, _ in found],
            np.array([target for _, target, _ in found], dtype=np.float64),
            np.array([value for _, _, value in found], dtype=np.float64),
        )


@dataclass(frozen=True)
class Canon:
    """The closed sets that free text is judged by: families of descriptions, and the distinct reference answers."""

    families: FamilyIndex
    classes: dict[Task, dict[str, int]]
    """For each text task the normalised reference answers of all splits, numbered in alphabetical order."""

    @classmethod
    def build(cls, train: Sequence[Clip], others: Sequence[Clip]) -> Self:
        """Families from the training crashes alone; the list of distinct answers from all clips."""
        families = FamilyIndex.build(
            (clip.references["crash_description"], clip.scenario)
            for clip in train
            if clip.is_crash and "crash_description" in clip.references
        )
        classes: dict[Task, dict[str, int]] = {}
        for task in TEXTS.values():
            answers = {text.normalised(clip.references[task]) for clip in (*train, *others) if task in clip.references}
            classes[task] = {answer: number for number, answer in enumerate(sorted(answers))}
        return cls(families, classes)

    def true_family(self, clip: Clip) -> str:
        """The family of the reference description, or the clip's scenario if training never used that description."""
        return self.families.exact(clip.references["crash_description"]) or clip.scenario


Rows = Iterable[tuple[str, float, float]]
_Scorer = Callable[[Sequence[Clip], ModelAnswers, Canon], Rows]


def score_clips(metric: str, clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> ClipValues:
    """Targets and values of one metric of `CLIP_METRICS`, on the clips that it is defined for."""
    return ClipValues.of(_SCORERS[metric](clips, answers, canon))


def score_rows(model: str, metric: str, values: ClipValues) -> list[dict[str, Any]]:
    """Rows of the clip scores table."""
    return [
        {"model": model, "clip_id": clip_id, "metric": metric, "target": float(target), "value": float(value)}
        for clip_id, target, value in zip(values.clip_ids, values.targets, values.values, strict=True)
    ]


def with_reference(clips: Sequence[Clip], task: Task, crashes_only: bool = False) -> list[Clip]:
    """The clips that have a reference answer for a task."""
    return [clip for clip in clips if task in clip.references and (clip.is_crash or not crashes_only)]


def texts_of(clips: Sequence[Clip], answers: ModelAnswers, task: Task) -> tuple[list[str], list[str]]:
    """Predicted and reference texts, in the order of the clips."""
    return [answers[clip.clip_id][task].text for clip in clips], [clip.references[task] for clip in clips]


def _recognition(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
    for clip in with_reference(clips, "crash_recognition"):
        said = parse_recognition(answers[clip.clip_id]["crash_recognition"].text)
        yield clip.clip_id, float(clip.is_crash), scores.UNPARSABLE if said is None else float(said)


def _against(negative_label: str) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
        for clip in with_reference(clips, "crash_recognition"):
            if clip.label in ("crash", negative_label):
                score = answers[clip.clip_id]["crash_recognition"].score
                assert score is not None, "recognition answers carry a score"
                yield clip.clip_id, float(clip.is_crash), score

    return rows


def _iou(threshold: float | None = None, is_routed: bool = False) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
        for clip in with_reference(clips, "crash_localization"):
            given = answers[clip.clip_id]
            true = parse_interval(clip.references["crash_localization"])
            assert true is not None, "synthesize validates reference intervals"
            iou = scores.interval_iou(parse_interval(given["crash_localization"].text), true)
            if is_routed and not says_yes(given):
                iou = 0.0
            yield clip.clip_id, 1.0, iou if threshold is None else float(scores.reaches(iou, threshold))

    return rows


def pre_crash_times(clip: Clip) -> tuple[float, float] | None:
    """Pre-crash point and crash start in seconds, or None for a clip that the pre-crash metrics skip."""
    true = parse_point(clip.references["pre_crash_localization"])
    if true is None or clip.crash_start_s is None:
        return None
    skipped = scores.pre_crash_score(None, true, clip.crash_start_s) is None
    return None if skipped else (true, clip.crash_start_s)


def _pre_crash(is_routed: bool = False) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
        for clip in with_reference(clips, "pre_crash_localization"):
            times = pre_crash_times(clip)
            if times is None:
                continue
            given = answers[clip.clip_id]
            value = scores.pre_crash_score(parse_point(given["pre_crash_localization"].text), *times)
            assert value is not None
            yield clip.clip_id, 1.0, 0.0 if is_routed and not says_yes(given) else value

    return rows


def _tta_error(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
    for clip in with_reference(clips, "pre_crash_localization"):
        times = pre_crash_times(clip)
        if times is not None:
            predicted = parse_point(answers[clip.clip_id]["pre_crash_localization"].text)
            true_s, start_s = times
            error = abs(scores.time_to_accident_s(predicted, start_s) - scores.time_to_accident_s(true_s, start_s))
            yield clip.clip_id, 1.0, error


def _rouge(task: Task, name: str, crashes_only: bool = False) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
        chosen = with_reference(clips, task, crashes_only)
        values = text.rouge(*texts_of(chosen, answers, task)).get(name, np.zeros(0))
        return [(clip.clip_id, 1.0, float(value)) for clip, value in zip(chosen, values, strict=True)]

    return rows


def _canonical(task: Task) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
        classes = canon.classes[task]
        for clip in with_reference(clips, task):
            predicted = classes.get(text.normalised(answers[clip.clip_id][task].text), scores.UNPARSABLE)
            yield clip.clip_id, float(classes[text.normalised(clip.references[task])]), float(predicted)

    return rows


def _family(clips: Sequence[Clip], answers: ModelAnswers, canon: Canon) -> Rows:
    for clip in with_reference(clips, "crash_description", crashes_only=True):
        told = canon.families.family(answers[clip.clip_id]["crash_description"].text)
        yield clip.clip_id, 1.0, float(told == canon.true_family(clip))


def _scorers() -> dict[str, _Scorer]:
    found: dict[str, _Scorer] = {
        "recognition_macro_f1": _recognition,
        "recognition_binary_f1": _recognition,
        "recognition_accuracy": _recognition,
        "near_miss_auc": _against("near_miss"),
        "normal_auc": _against("normal"),
        "crash_miou": _iou(),
        "crash_miou_two_pass": _iou(is_routed=True),
        "pre_crash_score": _pre_crash(),
        "pre_crash_score_two_pass": _pre_crash(is_routed=True),
        "tta_abs_error_s": _tta_error,
        "description_family_accuracy": _family,
    }
    for name, threshold in scores.IOU_THRESHOLDS.items():
        found[name] = _iou(threshold)
    for short, task in TEXTS.items():
        found[f"{short}_canonical_macro_f1"] = _canonical(task)
        found[f"{short}_positive_rougeL"] = _rouge(task, "rougeL", crashes_only=True)
        for name in text.ROUGE_TYPES:
            found[f"{short}_{name}"] = _rouge(task, name)
    return found


_SCORERS = _scorers()
