"""From an endpoint's reply to question-answer pairs. What the annotation says stands; the reply fills the rest."""

from dataclasses import replace

from hazardline.hazardnet import CLASSIFICATION, format_classification, format_reply, parse_classification
from hazardline.native import StillTruth
from hazardline.suites import CRASHCHAT, suite_of
from hazardline.synthesize import deterministic
from hazardline.synthesize.deterministic_images import NO_CLASS, SCENE_CLASSES, classification
from hazardline.synthesize.endpoint.prompts import topics_of
from hazardline.synthesize.hazard_pairs import risk_known
from hazardline.synthesize.hazard_rules import assess
from hazardline.synthesize.pair import Annotation, Clip, QaPair, SceneRow, qa_id
from hazardline.tasks import PromptSet, Task

NAME = "endpoint"


def fixed_pairs(clip: Clip, prompts: PromptSet) -> Annotation:
    """The pairs of a clip about which nothing is open."""
    found = deterministic.annotate(clip.scene, clip.split, prompts)
    return replace(found, pairs=[replace(pair, annotator=NAME) for pair in found.pairs])


def pairs_of(clip: Clip, reply: dict[str, object], prompts: PromptSet) -> Annotation:
    """The pairs of a clip from the plain data of its reply (`prompts.Question.reply`)."""
    if suite_of(prompts.version) is CRASHCHAT:
        return fixed_pairs(replace(clip, scene={**clip.scene, **reply}), prompts)
    return _image_pairs(clip, reply, prompts)


def _image_pairs(clip: Clip, reply: dict[str, object], prompts: PromptSet) -> Annotation:
    values = _classification(clip.scene, reply)
    is_risk = risk_known(clip.scene)
    if is_risk is None:
        is_risk = values is not None and (parse_classification(values) or {}).get("IsThereRisk") == "Yes"
    texts: list[tuple[Task, str, str]] = []
    for task in topics_of(clip.clip_id):
        told = reply[task]
        assert isinstance(told, dict), "the reply was checked against its form"
        texts.append((task, told["question"], format_reply(told["reasoning"], told["answer"])))
    if values is not None:
        texts.append((CLASSIFICATION, prompts.questions[CLASSIFICATION], values))
    pairs = [
        QaPair(
            qa_id=qa_id(clip.clip_id, task),
            clip_id=clip.clip_id,
            split=clip.split,
            task=task,
            question=question,
            answer=answer,
            is_positive=is_risk,
            annotator=NAME,
            prompt_version=prompts.version,
        )
        for task, question, answer in texts
    ]
    return Annotation(pairs, [] if values is not None else [(CLASSIFICATION, NO_CLASS)])


def _classification(scene: SceneRow, reply: dict[str, object]) -> str | None:
    """By the exact truth, else by the annotation, else by the reply; None for a highway, which has no class."""
    if scene["still"] is not None:
        truth = StillTruth.parse_json(scene["still"], f"scenes row {scene['clip_id']}, column still")
        scene_class = SCENE_CLASSES.get(truth.road)
        return None if scene_class is None else classification(scene_class, assess(truth))
    annotated = parse_classification(scene["classification"] or "")
    if annotated is not None:
        return format_classification(annotated)
    told = reply[CLASSIFICATION]
    assert isinstance(told, dict), "the reply was checked against its form"
    return format_classification(told)
