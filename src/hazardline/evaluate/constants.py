"""The best constant answer to every metric, chosen on the validation split: the floor that a model has to clear.

A constant needs no video. In CrashChat's released test set `3.5 - 7.5 seconds` to every clip reaches mIoU .242, above
every general model of its table, and `No accident, no cause.` reaches BLEU .162: so the floor is searched for each
metric on its own, on validation, and scored on test like any model.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from hazardline.evaluate import scores
from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.estimates import corpus_counts, corpus_score
from hazardline.evaluate.scored import CLIP_METRICS, METRIC_NAMES, TEXTS
from hazardline.evaluate.scores import Array
from hazardline.evaluate.scoring import Canon, pre_crash_times, score_clips, with_reference
from hazardline.evaluate.testset import Clip
from hazardline.tasks import TASKS, Task, format_interval, format_point, parse_interval

NUM_TEXT_CANDIDATES = 5
"""So many of the commonest reference texts are tried."""
_MAX_GRID_POINTS = 120
_PRIMARY: dict[Task, str] = {
    "crash_recognition": "recognition_macro_f1",
    "crash_description": "description_rougeL",
    "cause_reasoning": "cause_rougeL",
    "prevention_reasoning": "prevention_rougeL",
    "crash_localization": "crash_miou",
    "pre_crash_localization": "pre_crash_score",
}
"""The metric whose constant stands for a task where one answer has to be named (the predictions table)."""


def choose_constants(validation: Sequence[Clip], canon: Canon) -> dict[str, str]:
    """The best constant answer for every metric: metric name -> answer.

    Ties go to the candidate that comes first: `No` before `Yes`, the commoner text, the earlier time. A model that
    answers every clip alike has AUC .5 whatever it says. The two-pass metrics take the constant of their one-pass
    twins with recognition always `Yes`, which is the best that a constant can do there.
    """
    chosen: dict[str, str] = {"near_miss_auc": "No", "normal_auc": "No"}
    for metric in ("recognition_macro_f1", "recognition_binary_f1", "recognition_accuracy"):
        chosen[metric] = _best(metric, ("No", "Yes"), validation, canon)
    chosen |= _best_intervals(validation)
    chosen |= _best_times(validation)
    for twin in ("crash_miou", "pre_crash_score"):
        chosen[f"{twin}_two_pass"] = chosen[twin]
    for short, task in TEXTS.items():
        for metric in METRIC_NAMES:
            if metric.startswith(f"{short}_") and metric != "description_family_accuracy":
                crashes_only = "_positive_" in metric
                candidates = commonest(validation, task, crashes_only)
                chosen[metric] = _best(metric, candidates, validation, canon)
    chosen["description_family_accuracy"] = _family_text(validation, canon)
    return {metric: chosen[metric] for metric in METRIC_NAMES}


def commonest(clips: Sequence[Clip], task: Task, crashes_only: bool) -> tuple[str, ...]:
    """The commonest reference texts of a task, commonest first, ties in alphabetical order."""
    counts = Counter(clip.references[task] for clip in with_reference(clips, task, crashes_only))
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    return tuple(ranked[:NUM_TEXT_CANDIDATES])


def constant_answers(metric: str, constants: dict[str, str], clips: Sequence[Clip]) -> ModelAnswers:
    """What the constant model answers when it is scored by a metric: the metric's own constant for its task."""
    texts = {task: constants[primary] for task, primary in _PRIMARY.items()}
    texts[task_of(metric)] = constants[metric]
    if metric.endswith("_two_pass"):
        texts["crash_recognition"] = "Yes"
    given = {task: Answer(texts[task], score=0.0 if task == "crash_recognition" else None) for task in TASKS}
    return {clip.clip_id: given for clip in clips}


def shown_answers(constants: dict[str, str], clips: Sequence[Clip]) -> ModelAnswers:
    """The constant model's rows of the predictions table: one constant a task, only where there is a reference."""
    return {
        clip.clip_id: {
            task: Answer(constants[metric], score=0.0 if task == "crash_recognition" else None)
            for task, metric in _PRIMARY.items()
            if task in clip.references
        }
        for clip in clips
    }


def task_of(metric: str) -> Task:
    """The task whose answers a metric scores."""
    if metric.startswith("recognition_") or metric.endswith("_auc"):
        return "crash_recognition"
    if metric.startswith("crash_"):
        return "crash_localization"
    if metric.startswith(("pre_crash_", "tta_")):
        return "pre_crash_localization"
    return TEXTS[metric.split("_", maxsplit=1)[0]]


def _best(metric: str, candidates: Sequence[str], clips: Sequence[Clip], canon: Canon) -> str:
    """The first candidate with the best score on the clips."""
    task = task_of(metric)
    values = []
    for candidate in candidates:
        answers: ModelAnswers = {clip.clip_id: {task: Answer(candidate, score=0.0)} for clip in clips}
        if metric in CLIP_METRICS:
            found = score_clips(metric, clips, answers, canon)
            values.append(scores.single(CLIP_METRICS[metric].score, found.targets, found.values))
        else:
            counts = corpus_counts(metric, clips, answers)
            values.append(float(corpus_score(metric)(counts.sum(axis=0, keepdims=True))[0]))
    return candidates[int(np.argmax(values))] if values else ""


def _grid_s(end_s: float) -> Array:
    """Times from 0 to `end_s` at 0.1 s, coarser where that were more than 120 points."""
    step = max(0.1, float(np.ceil(end_s * 10 / _MAX_GRID_POINTS)) / 10)
    return np.round(np.arange(0.0, end_s + step / 2, step), 1)


def _best_intervals(clips: Sequence[Clip]) -> dict[str, str]:
    """Grid search over intervals for mean IoU and for the share above each threshold."""
    names = ("crash_miou", *scores.IOU_THRESHOLDS)
    true = np.array(
        [
            interval
            for clip in with_reference(clips, "crash_localization")
            if (interval := parse_interval(clip.references["crash_localization"])) is not None
        ]
    )
    if not len(true):
        return dict.fromkeys(names, "")
    grid = _grid_s(float(true.max()))
    first, last = np.triu_indices(len(grid), k=1)
    low, high = grid[first][:, None], grid[last][:, None]
    overlap = np.clip(np.minimum(high, true[:, 1]) - np.maximum(low, true[:, 0]), 0.0, None)
    iou = overlap / ((high - low) + (true[:, 1] - true[:, 0]) - overlap)
    goals = {"crash_miou": iou.mean(axis=1)}
    for name, threshold in scores.IOU_THRESHOLDS.items():
        goals[name] = (iou >= threshold - 1e-9).mean(axis=1)
    best = {name: int(np.argmax(goal)) for name, goal in goals.items()}
    return {name: format_interval(float(low[at, 0]), float(high[at, 0])) for name, at in best.items()}


def _best_times(clips: Sequence[Clip]) -> dict[str, str]:
    """Grid search over one time for the pre-crash score and for the error of the time to the accident."""
    found = [pre_crash_times(clip) for clip in with_reference(clips, "pre_crash_localization")]
    times = [pair for pair in found if pair is not None]
    if not times:
        return {"pre_crash_score": "", "tta_abs_error_s": ""}
    grid = [float(time_s) for time_s in _grid_s(max(start_s for _, start_s in times))]
    score = [np.mean([scores.pre_crash_score(time_s, *pair) or 0.0 for pair in times]) for time_s in grid]
    error = [
        np.mean([abs(scores.time_to_accident_s(time_s, start_s) - (start_s - true_s)) for true_s, start_s in times])
        for time_s in grid
    ]
    return {
        "pre_crash_score": format_point(grid[int(np.argmax(score))]),
        "tta_abs_error_s": format_point(grid[int(np.argmin(error))]),
    }


def _family_text(clips: Sequence[Clip], canon: Canon) -> str:
    """A training description of the commonest family of the validation crashes (ties: first name)."""
    crashes = with_reference(clips, "crash_description", crashes_only=True)
    counts = Counter(canon.true_family(clip) for clip in crashes)
    for family in sorted(counts, key=lambda name: (-counts[name], name)):
        for description, known in canon.families.family_of.items():
            if known == family:
                return description
    return ""
