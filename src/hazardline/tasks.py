"""CrashChat's six tasks: prompts, fixed negative answers and answer forms (arXiv 2512.18878 and its released code).

Pure Python without dependencies: a vehicle's computer uses it as well as the training pool.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Task = Literal[
    "crash_recognition",
    "crash_description",
    "cause_reasoning",
    "prevention_reasoning",
    "crash_localization",
    "pre_crash_localization",
    "object_detection",
    "spatial_relationships",
    "traffic_rules",
    "dynamic_elements",
    "scene_prediction",
    "weather_visibility",
    "road_infrastructure",
    "scene_classification",
]
"""CrashChat's six, then HazardNet's (`hazardline.hazardnet`)."""
ALL_TASKS: tuple[Task, ...] = get_args(Task)
Branch = Literal["linguistic", "perception"]

TASKS: tuple[Task, ...] = (
    "crash_recognition",
    "crash_description",
    "cause_reasoning",
    "prevention_reasoning",
    "crash_localization",
    "pre_crash_localization",
)
LOCALIZATION_TASKS: tuple[Task, ...] = ("crash_localization", "pre_crash_localization")
TEXT_TASKS: tuple[Task, ...] = ("crash_description", "cause_reasoning", "prevention_reasoning")

TRAINED_ON: dict[Branch, tuple[Task, ...]] = {"linguistic": TASKS, "perception": LOCALIZATION_TASKS}
"""The linguistic branch trains on all six tasks, the perception branch on the two localization tasks (section 3.2)."""
ANSWERED_BY: dict[Task, Branch] = {task: "perception" if task in LOCALIZATION_TASKS else "linguistic" for task in TASKS}

NEGATIVE_ANSWERS: dict[Task, str] = {
    "crash_recognition": "No",
    "crash_description": "no collision.",
    "cause_reasoning": "No accident, no cause.",
    "prevention_reasoning": "No accident, no prevention needed.",
}
"""What a clip without a crash is answered. The two localization tasks are asked of clips with a crash only."""


@dataclass(frozen=True)
class PromptSet:
    """Fixed questions under a version: a score names the version that it was measured with."""

    version: str
    questions: dict[Task, str]
    """Of the tasks that are asked alike of every clip."""


_ANALYST = "You are a traffic accident analyst. "
PROMPTS: dict[str, PromptSet] = {
    "crashchat@1": PromptSet(
        "crashchat@1",
        {
            "crash_recognition": "You are a traffic accident engineer. Analyze the given traffic video and decide "
            "whether a collision or crash happens during the clip. Answer with only 'Yes' or 'No'. Example: If two "
            "vehicles collide, or a vehicle hits a pedestrian, answer 'Yes'; if all vehicles move normally without "
            "collision, answer 'No'.",
            "crash_description": _ANALYST + "Look at the video and describe whether there is a traffic collision or "
            "abnormal vehicle behavior. If no accident appears, output exactly 'no collision.' If an accident occurs, "
            "describe it in one short sentence following this pattern: [subject] [verb] [object]. Use words such as "
            "ego-car, car, truck, motorbike, cyclist, pedestrian, and verbs such as hits, overtakes, falls down, is "
            "out of control, has failure of components. Example outputs: 'ego-car hits a pedestrian.' 'car hits a "
            "truck.' 'motorbike falls down.' 'truck has failure of components.' 'no collision.'",
            "cause_reasoning": _ANALYST + "Watch the video and determine the most likely cause of the traffic "
            "accident. If no accident appears in the clip, output exactly: 'No accident, no cause.' If an accident "
            "occurs, describe the most likely cause in ONE short sentence.",
            "prevention_reasoning": _ANALYST + "Watch the video carefully and provide detailed prevention measures "
            "based on the traffic accident video. If no accident appears in the clip, output exactly: 'No accident, "
            "no prevention needed.' If an accident occurs, describe the recommended prevention measures in a detailed "
            "paragraph. The prevention measures should be practical, specific, and expressed in full sentences. You "
            "may include multiple actions for drivers, pedestrians, cyclists, or other road users if appropriate. "
            "Example outputs:'When passing the zebra crossing, drivers must slow down. When pedestrians or non-motor "
            "vehicles cross the zebra crossing, they should stop and give way to other normal running vehicles; When "
            "crossing the road, pedestrians must follow the zebra crossing, carefully observe the traffic, and do not "
            "cross the road in a hurry.''Ego-car drivers should not answer or make phone calls, eat or smoke while "
            "riding, sleep, and drive in fatigue.''Cyclists should not ride on the motorway as much as possible, stop "
            "retrogradation or speeding. Cyclists should leave the motorway in time and observe the coming vehicles "
            "carefully. When the vehicle driver encounters a cyclist on the motorway, he should honk his horn to "
            "remind him to slow down.'",
            "crash_localization": _ANALYST + "Watch the video and identify the exact time range during which the "
            "crash occurs. If a collision or abnormal event (such as a vehicle losing control, skidding, or impact) "
            "happens, output the start and end timestamps in seconds. The output format must follow this pattern: "
            "'start - end seconds'. Example outputs: '20.8 - 30.0 seconds', '5.0 - 7.6 seconds'.",
            "pre_crash_localization": _ANALYST + "Watch the video and identify the moment when the first visible sign "
            "of a potential crash or abnormal event appears. This may include situations such as the ego vehicle, "
            "another vehicle, a pedestrian, a cyclist, or any other traffic participant showing abnormal behavior, for "
            "example, sudden braking, swerving, loss of control, unexpected crossing, or any motion indicating that a "
            "collision is becoming inevitable. Output the timestamp in seconds when these early crash cues first "
            "appear. The output format must follow this pattern: 'timestamp seconds' Example outputs: '8.6 seconds', "
            "'12.4 seconds'.",
        },
    ),
    "crashchat-short@1": PromptSet(
        "crashchat-short@1",
        {
            "crash_recognition": "Is there a crash? Answer Yes or No.",
            "crash_description": "Describe the crash, or say no collision.",
            "cause_reasoning": "What is the cause? Or: No accident, no cause.",
            "prevention_reasoning": "How to prevent it? Or: No accident, no prevention needed.",
            "crash_localization": "From when to when is the crash?",
            "pre_crash_localization": "When is the first sign of the crash?",
        },
    ),
}
"""`crashchat@1` is the published wording; `crashchat-short@1` is what the pocket model can afford to read."""


def parse_recognition(answer: str) -> bool | None:
    """True for `Yes`, False for `No` (any case, a final full stop allowed); None where it cannot be parsed."""
    word = answer.strip().rstrip(".").lower()
    return {"yes": True, "no": False}.get(word)


_NUMBER = r"(\d+(?:\.\d+)?)"
_INTERVAL = re.compile(rf"{_NUMBER}\s*(?:-|–|to)\s*{_NUMBER}")
_POINT = re.compile(_NUMBER)


def parse_interval(answer: str) -> tuple[float, float] | None:
    """`1.9 - 4.0 seconds` as (1.9, 4.0), swapped ends repaired as in the released script; None if unparsable."""
    match = _INTERVAL.search(answer)
    if match is None:
        return None
    first, second = float(match[1]), float(match[2])
    return (first, second) if first <= second else (second, first)


def parse_point(answer: str) -> float | None:
    """`1.0 seconds` as 1.0 (the first number of the answer); None if there is none."""
    match = _POINT.search(answer)
    return float(match[1]) if match else None


def format_interval(start_s: float, end_s: float) -> str:
    """`1.9 - 4.0 seconds`: one decimal, as in the released records."""
    return f"{start_s:.1f} - {end_s:.1f} seconds"


def format_point(time_s: float) -> str:
    """`1.0 seconds`: one decimal."""
    return f"{time_s:.1f} seconds"
