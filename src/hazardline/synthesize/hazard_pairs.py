"""What holds for HazardNet's pairs: their sign, the form of their answers, and no answer given away by its question."""

import re

from hazardline.hazardnet import (
    CLASSIFICATION,
    final_answer,
    format_classification,
    format_reply,
    parse_classification,
    reasoning_of,
)
from hazardline.native import StillTruth
from hazardline.synthesize.agents import unknown_kinds
from hazardline.synthesize.hazard_rules import NOT_APPLICABLE, assess
from hazardline.synthesize.pair import Problem, QaPair, SceneRow


def hazard_problem(pair: QaPair, scene: SceneRow) -> Problem | None:
    """What is wrong with a pair of one of HazardNet's tasks."""
    is_risk = risk_known(scene)
    if is_risk is not None and pair.is_positive != is_risk:
        return "wrong_sign", f"is_positive is {pair.is_positive}, the rules find a risk: {is_risk}"
    problem = _classification_problem(pair) if pair.task == CLASSIFICATION else _topic_problem(pair)
    return problem or _agent_problem(pair, scene)


def risk_known(scene: SceneRow) -> bool | None:
    """Whether an image shows a risk, by its exact truth or its annotation; None where neither says so."""
    if scene["still"] is not None:
        return assess(_truth(scene)) is not None
    values = parse_classification(scene["classification"] or "")
    return None if values is None else values["IsThereRisk"] == "Yes"


def _truth(scene: SceneRow) -> StillTruth:
    return StillTruth.parse_json(scene["still"], f"scenes row {scene['clip_id']}, column still")


def _agent_problem(pair: QaPair, scene: SceneRow) -> Problem | None:
    """A topic's reply names a road user that the exact truth lacks.

    Images without it are not checked: an annotator names the road user that the risk comes from, and no other.
    """
    if scene["still"] is None or pair.task == CLASSIFICATION:
        return None
    agents = [*(item.kind for item in _truth(scene).objects), *scene["agents"]]
    unknown = unknown_kinds(pair.answer, agents)
    if unknown:
        return "unknown_agent", f"{pair.answer!r} names {', '.join(unknown)}; the image shows {', '.join(agents)}"
    return None


def _classification_problem(pair: QaPair) -> Problem | None:
    values = parse_classification(pair.answer)
    if values is None or format_classification(values) != pair.answer:
        return "wrong_answer_form", f"{pair.answer!r} is not the JSON object of the four fields"
    if (values["IsThereRisk"] == "Yes") != pair.is_positive:
        return "wrong_sign", f"is_positive is {pair.is_positive}, IsThereRisk is {values['IsThereRisk']}"
    consequences = values["AgentClassification"], values["SuggestedAction"]
    if any((value == NOT_APPLICABLE) == pair.is_positive for value in consequences):
        return "inconsistent_classification", f"agent and action are N/A exactly where there is no risk: {pair.answer}"
    return None


def _topic_problem(pair: QaPair) -> Problem | None:
    said, reasoning = final_answer(pair.answer), reasoning_of(pair.answer)
    if not said or not reasoning or format_reply(reasoning, said) != pair.answer:
        return "wrong_answer_form", f"{pair.answer!r} is not reasoning, then 'Answer:' and a final answer"
    if re.search(rf"\b{re.escape(said)}\b", pair.question, re.IGNORECASE):
        return "answer_in_question", f"{pair.question!r} holds its answer {said!r}"
    return None
