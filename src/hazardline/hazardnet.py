"""HazardNet's tasks: seven topics of HazardQA and the four-field scene classification (arXiv 2502.20572, section 3).

An image is asked five of the seven topics, each answered with its reasoning and then a short final answer, and once for
its classification: one JSON object with four closed fields. Pure Python without dependencies, like `hazardline.tasks`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from hazardline.tasks import PromptSet, Task

TOPICS: dict[Task, str] = {
    "object_detection": "Object Detection and Recognition",
    "spatial_relationships": "Spatial Relationships and Positioning",
    "traffic_rules": "Traffic Rules and Compliance",
    "dynamic_elements": "Dynamic Elements and Movement",
    "scene_prediction": "Scene Context and Prediction",
    "weather_visibility": "Weather and Visibility Conditions",
    "road_infrastructure": "Road Infrastructure and Features",
}
"""HazardQA's topics by task, with the paper's names (`category_topic` of the published table)."""
TOPICS_PER_IMAGE = 5
CLASSIFICATION: Task = "scene_classification"
HAZARDNET_TASKS: tuple[Task, ...] = (*TOPICS, CLASSIFICATION)

FIELDS: dict[str, tuple[str, ...]] = {
    "SceneClassification": ("Narrow lane", "Intersection", "Urban road"),
    "AgentClassification": ("N/A", "Infrastructure", "Pedestrian", "Vehicle", "Cyclist"),
    "SuggestedAction": ("N/A", "Yield", "Carefully Slow Down", "Must Stop", "Keep Moving"),
    "IsThereRisk": ("Yes", "No"),
}
"""The fields of a classification, in the order in which they are written, and what each may say."""

HAZARDNET_PROMPTS: dict[str, PromptSet] = {
    "hazardnet@1": PromptSet(
        "hazardnet@1",
        {
            CLASSIFICATION: "You are an assistant that analyses driving scenes. Look at the image and answer with one "
            "JSON object of exactly these four fields: 'SceneClassification' (one of 'Narrow lane', 'Intersection', "
            "'Urban road'), 'AgentClassification' (what the risk comes from: one of 'N/A', 'Infrastructure', "
            "'Pedestrian', 'Vehicle', 'Cyclist'), 'SuggestedAction' (one of 'N/A', 'Yield', 'Carefully Slow Down', "
            "'Must Stop', 'Keep Moving') and 'IsThereRisk' ('Yes' or 'No'). Where there is no risk, "
            "'SuggestedAction' is 'N/A'. Answer with the JSON object alone.",
        },
    ),
    "hazardnet-short@1": PromptSet("hazardnet-short@1", {CLASSIFICATION: "Classify the scene as JSON."}),
}
"""HazardQA's own questions differ from image to image and stand in the QA table."""

_FINAL = " Answer: "


def classification_schema() -> dict[str, Any]:
    """The JSON schema that answers to the classification are constrained to."""
    return {
        "type": "object",
        "properties": {name: {"enum": list(values)} for name, values in FIELDS.items()},
        "required": list(FIELDS),
        "additionalProperties": False,
    }


SCHEMAS: dict[Task, dict[str, Any]] = {CLASSIFICATION: classification_schema()}
"""Schemas of the tasks whose answers are decoded under one."""


def format_classification(values: Mapping[str, str]) -> str:
    """A classification as the model writes it: the four fields in their order, on one line.

    Raises:
        ValueError: a field is missing, unknown, or says what it may not.
    """
    if list(values) != list(FIELDS) or any(values[name] not in allowed for name, allowed in FIELDS.items()):
        raise ValueError(f"no classification: {dict(values)}")
    return json.dumps(dict(values))


def parse_classification(answer: str) -> dict[str, str] | None:
    """The four fields of an answer, or None where it is not one JSON object of exactly these fields and values."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        return None
    values = {name: found[name] for name in FIELDS}
    is_allowed = all(isinstance(value, str) and value in FIELDS[name] for name, value in values.items())
    return values if is_allowed else None


def format_reply(reasoning: str, answer: str) -> str:
    """HazardQA's assistant turn: the chain of thought, then the final answer."""
    return f"{reasoning}{_FINAL}{answer}"


def reasoning_of(reply: str) -> str:
    """What stands before the last `Answer:` of a reply; nothing where it has none."""
    return reply.rpartition(_FINAL)[0]


def final_answer(reply: str) -> str:
    """What stands behind the last `Answer:` of a reply; the whole reply where it has none."""
    return re.split(r"\bAnswer:", reply)[-1].strip()
