"""Images and answers in memory, for the tests of HazardNet's metrics that need no picture."""

from collections.abc import Sequence
from pathlib import Path

from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.testset import Clip
from hazardline.hazardnet import CLASSIFICATION, format_classification

QUESTIONS = {
    "object_detection": "What kind of road user is nearest?",
    "dynamic_elements": "Does someone cross?",
    "weather_visibility": "Is it dark?",
}
REFERENCES = {
    "object_detection": "The nearest road user is a red van. Answer: van",
    "dynamic_elements": "No road user crosses. Answer: No",
    "weather_visibility": "A rainy night. Answer: Yes",
}


def classification(scene="Urban road", agent="N/A", action="N/A", risk="No") -> str:
    names = ("SceneClassification", "AgentClassification", "SuggestedAction", "IsThereRisk")
    return format_classification(dict(zip(names, (scene, agent, action, risk), strict=True)))


SAFE = classification()
RISK = classification("Intersection", "Vehicle", "Must Stop", "Yes")


def image(clip_id, answer=SAFE, scenario="cruise", questions=QUESTIONS, **references) -> Clip:
    """An image; a reference of None is not asked."""
    given = {**REFERENCES, CLASSIFICATION: answer, **references}
    return Clip(
        clip_id=clip_id,
        label="normal" if answer == SAFE else "near_miss",
        scenario=scenario,
        weather="rainy",
        light="night",
        video=Path(f"/images/{clip_id}.png"),
        sha256=clip_id,
        duration_s=0.0,
        crash_start_s=None,
        references={task: text for task, text in given.items() if text is not None},
        questions={task: questions[task] for task in questions if given[task] is not None},
    )


def right(clips: Sequence[Clip]) -> ModelAnswers:
    """The reference answers, the classification the same under the schema and freely."""
    return {
        item.clip_id: {
            task: Answer(text, free=text if task == CLASSIFICATION else None) for task, text in item.references.items()
        }
        for item in clips
    }


def answered(answers: ModelAnswers, clip_id: str, free: str | None = None, **texts: str) -> ModelAnswers:
    """The same answers but for some of one image; `free` is the classification without the schema."""
    given = dict(answers[clip_id])
    for task, text in texts.items():
        given[task] = Answer(text, free=text if task == CLASSIFICATION else None)
    if free is not None:
        given[CLASSIFICATION] = Answer(given[CLASSIFICATION].text, free=free)
    return {**answers, clip_id: given}
