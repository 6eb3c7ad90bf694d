"""The answers of one model to the test questions, and their rows in the predictions table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hazardline.evaluate.testset import Clip
from hazardline.tasks import (
    ALL_TASKS,
    TASKS,
    TEXT_TASKS,
    Task,
    parse_interval,
    parse_point,
    parse_recognition,
)


@dataclass(frozen=True)
class Answer:
    """One answer. `asked` is False where the model was asked only for the score on all crashes, not end to end."""

    text: str
    asked: bool = True
    score: float | None = None
    """Recognition: log-odds of Yes against No at the first answer token."""
    free: str | None = None
    """Of a task that is answered under a schema: what the model says without it."""


ModelAnswers = dict[str, dict[Task, Answer]]
"""Answers by clip_id and task."""


def is_parsable(task: Task, text: str) -> bool:
    """Whether an answer has the form that its task asks for; a text only has to be there."""
    if task in TEXT_TASKS:
        return bool(text.strip())
    if task == "crash_recognition":
        return parse_recognition(text) is not None
    return (parse_interval(text) if task == "crash_localization" else parse_point(text)) is not None


def says_yes(answers: dict[Task, Answer]) -> bool:
    """Whether recognition sent the clip on to the second pass."""
    return parse_recognition(answers["crash_recognition"].text) is True


def prediction_rows(model: str, clips: Sequence[Clip], answers: ModelAnswers) -> list[dict[str, Any]]:
    """Rows of the predictions table: every test question, and second passes on clips without a crash (false alarms).

    A false alarm has no reference answer: its `reference` is empty.
    """
    rows = []
    for clip in clips:
        given = answers[clip.clip_id]
        for task in ALL_TASKS:
            if task not in given:
                continue
            rows.append(
                {
                    "model": model,
                    "clip_id": clip.clip_id,
                    "task": task,
                    "prediction": given[task].text,
                    "asked": given[task].asked,
                    "reference": clip.references.get(task, ""),
                    "score": given[task].score,
                }
            )
    return rows


def answer_counts(model: str, clips: Sequence[Clip], answers: ModelAnswers) -> dict[str, int]:
    """How often a model was asked, gave nothing usable, was sent on, or raised a false alarm."""
    counts = {f"{model}_second_passes": 0, f"{model}_false_alarms": 0}
    for task in TASKS:
        asked = [clip for clip in clips if task in clip.references]
        unparsable = sum(not is_parsable(task, answers[clip.clip_id][task].text) for clip in asked)
        kind = "empty" if task in TEXT_TASKS else "unparsable"
        counts[f"{model}_{kind}_{task}"] = unparsable
    for clip in clips:
        if says_yes(answers[clip.clip_id]):
            counts[f"{model}_second_passes"] += 1
            counts[f"{model}_false_alarms"] += not clip.is_crash
    return counts
