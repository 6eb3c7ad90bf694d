"""Clips and answers in memory, for the tests that need no video."""

from pathlib import Path

from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.testset import Clip
from hazardline.tasks import NEGATIVE_ANSWERS

REFERENCES = {
    "crash_recognition": "Yes",
    "crash_description": "ego-car hits a car.",
    "cause_reasoning": "The driver followed too closely.",
    "prevention_reasoning": "Keep a safe distance.",
    "crash_localization": "2.0 - 4.0 seconds",
    "pre_crash_localization": "1.0 seconds",
}


def clip(clip_id, label="crash", scenario="rear_end", crash_start_s=2.0, **references):
    given = {**(REFERENCES if label == "crash" else NEGATIVE_ANSWERS), **references}
    return Clip(
        clip_id=clip_id,
        label=label,
        scenario=scenario,
        weather="sunny",
        light="day",
        video=Path(f"/clips/{clip_id}.mp4"),
        sha256=clip_id,
        duration_s=8.0,
        crash_start_s=crash_start_s if label == "crash" else None,
        references={task: answer for task, answer in given.items() if answer is not None},
    )


def perfect(clips) -> ModelAnswers:
    """The reference answers, with a score of 1 for a crash and 0 for the others."""
    return {
        item.clip_id: {
            task: Answer(answer, score=float(item.is_crash) if task == "crash_recognition" else None)
            for task, answer in item.references.items()
        }
        for item in clips
    }


def changed(answers: ModelAnswers, clip_id, **texts) -> ModelAnswers:
    """The same answers but for some of one clip."""
    given = {**answers[clip_id], **{task: Answer(text, score=0.0) for task, text in texts.items()}}
    return {**answers, clip_id: given}
