"""The deterministic annotator of images: HazardNet's classification and HazardQA's questions, from exact truth.

Of an image that has an annotated classification and no exact truth it writes that alone.
"""

from hazardline.hazardnet import (
    CLASSIFICATION,
    HAZARDNET_TASKS,
    TOPICS,
    format_classification,
    format_reply,
    parse_classification,
)
from hazardline.native import StillTruth
from hazardline.synthesize.deterministic import NAME
from hazardline.synthesize.hazard_qa import questions_of
from hazardline.synthesize.hazard_rules import NOT_APPLICABLE, Hazard, assess
from hazardline.synthesize.hazard_templates import Seen
from hazardline.synthesize.pair import Annotation, QaPair, SceneRow, qa_id
from hazardline.tasks import PromptSet, Task

SCENE_CLASSES = {"narrow_lane": "Narrow lane", "intersection": "Intersection", "urban_road": "Urban road"}
"""The class of each kind of road; a highway has none in the paper."""
NO_TRUTH = "no exact truth of an image (scenes column still)"
NO_CLASS = "a highway is none of the scene classes"


def annotate(scene: SceneRow, split: str, prompts: PromptSet) -> Annotation:
    """Write the pairs of one image.

    Args:
        scene: a row of the scenes table.
        split: train, validation or test.
        prompts: the fixed questions; those of HazardQA are chosen for the image.

    Returns:
        At most six pairs; what could not be asked, each with the reason.
    """
    if scene["still"] is None:
        return _annotated(scene, split, prompts)
    truth = StillTruth.parse_json(scene["still"], f"scenes row {scene['clip_id']}, column still")
    hazard = assess(truth)
    asked, unasked = questions_of(scene["clip_id"], Seen.of(truth, scene["weather"], scene["light"]))
    texts: list[tuple[Task, str, str]] = [
        (item.task, item.question, format_reply(item.reasoning, item.answer)) for item in asked
    ]
    scene_class = SCENE_CLASSES.get(truth.road)
    if scene_class is None:
        unasked.append((CLASSIFICATION, NO_CLASS))
    else:
        texts.append((CLASSIFICATION, prompts.questions[CLASSIFICATION], classification(scene_class, hazard)))
    pairs = [
        _pair(scene, split, prompts, task, question, answer, hazard is not None) for task, question, answer in texts
    ]
    return Annotation(pairs, unasked)


def _annotated(scene: SceneRow, split: str, prompts: PromptSet) -> Annotation:
    """An image without exact truth: its annotated classification, where it has one."""
    values = parse_classification(scene["classification"] or "")
    if values is None:
        return Annotation([], [(task, NO_TRUTH) for task in HAZARDNET_TASKS])
    question, is_risk = prompts.questions[CLASSIFICATION], values["IsThereRisk"] == "Yes"
    pair = _pair(scene, split, prompts, CLASSIFICATION, question, format_classification(values), is_risk)
    return Annotation([pair], [(task, NO_TRUTH) for task in TOPICS])


def _pair(
    scene: SceneRow, split: str, prompts: PromptSet, task: Task, question: str, answer: str, is_positive: bool
) -> QaPair:
    return QaPair(
        qa_id=qa_id(scene["clip_id"], task),
        clip_id=scene["clip_id"],
        split=split,
        task=task,
        question=question,
        answer=answer,
        is_positive=is_positive,
        annotator=NAME,
        prompt_version=prompts.version,
    )


def classification(scene_class: str, hazard: Hazard | None) -> str:
    """The answer to the classification task."""
    return format_classification(
        {
            "SceneClassification": scene_class,
            "AgentClassification": NOT_APPLICABLE if hazard is None else hazard.agent,
            "SuggestedAction": NOT_APPLICABLE if hazard is None else hazard.action,
            "IsThereRisk": "No" if hazard is None else "Yes",
        }
    )
