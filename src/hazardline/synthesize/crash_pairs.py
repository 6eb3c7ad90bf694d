"""What holds for CrashChat's pairs: their sign, their fixed negative answers, and times that fit the clip."""

import re

from hazardline.synthesize.agents import unknown_kinds
from hazardline.synthesize.pair import Problem, QaPair, SceneRow
from hazardline.tasks import (
    LOCALIZATION_TASKS,
    NEGATIVE_ANSWERS,
    Task,
    format_interval,
    format_point,
    parse_interval,
    parse_point,
)

_TELL_OF_AGENTS: tuple[Task, ...] = ("crash_description", "cause_reasoning")
"""Tasks that tell what happened; measures of prevention speak of road users in general."""
_HALF_STEP_S = 0.05 + 1e-9
"""Answers have one decimal, so a time may lie this far outside the clip by rounding alone."""


def crash_problem(pair: QaPair, scene: SceneRow) -> Problem | None:
    """What is wrong with a pair of one of CrashChat's tasks."""
    if pair.is_positive != (scene["label"] == "crash"):
        return "wrong_sign", f"is_positive is {pair.is_positive}, the clip's label is {scene['label']}"
    if not pair.is_positive:
        return _negative_problem(pair)
    return _positive_problem(pair, scene)


def _negative_problem(pair: QaPair) -> Problem | None:
    expected = NEGATIVE_ANSWERS.get(pair.task)
    if expected is None:
        return "localization_of_negative", f"{pair.task} is asked of crashes only"
    if pair.answer != expected:
        return "wrong_negative_answer", f"expected {expected!r}, got {pair.answer!r}"
    return None


def _positive_problem(pair: QaPair, scene: SceneRow) -> Problem | None:
    if _plain(pair.answer) in {_plain(answer) for answer in NEGATIVE_ANSWERS.values()}:
        return "negative_answer_for_crash", f"a crash is answered {pair.answer!r}"
    if pair.task == "crash_recognition" and pair.answer != "Yes":
        return "wrong_answer_form", f"expected 'Yes', got {pair.answer!r}"
    if pair.task in LOCALIZATION_TASKS:
        return _times_problem(pair, scene)
    if pair.task in _TELL_OF_AGENTS and (unknown := unknown_kinds(pair.answer, scene["agents"])):
        known = ", ".join(scene["agents"])
        return "unknown_agent", f"{pair.answer!r} names {', '.join(unknown)}; the annotation knows {known}"
    return None


def _times_problem(pair: QaPair, scene: SceneRow) -> Problem | None:
    times = _times(pair)
    if times is None:
        return "wrong_answer_form", f"{pair.answer!r} is not of the form that {pair.task} asks for"
    if any(time_s > scene["duration_s"] + _HALF_STEP_S for time_s in times):
        return "times_outside_clip", f"{pair.answer!r} in a clip of {scene['duration_s']:.2f} s"
    if len(times) == 2 and times[0] >= times[1]:
        return "times_out_of_order", f"{pair.answer!r} does not start before it ends"
    crash_start_s = scene["crash_start_s"]
    if len(times) == 1 and crash_start_s is not None and times[0] > crash_start_s + _HALF_STEP_S:
        return "times_out_of_order", f"{pair.answer!r} lies after the crash start at {crash_start_s:.2f} s"
    return None


def _times(pair: QaPair) -> tuple[float, ...] | None:
    """The times of an answer as they stand (ends not swapped), or None where its form is another."""
    if pair.task == "pre_crash_localization":
        point = parse_point(pair.answer)
        return (point,) if point is not None and pair.answer == format_point(point) else None
    interval = parse_interval(pair.answer)
    if interval is None:
        return None
    first, second = interval
    if pair.answer == format_interval(first, second):
        return first, second
    return (second, first) if pair.answer == format_interval(second, first) else None


def _plain(answer: str) -> str:
    return re.sub(r"[^a-z ]", "", answer.lower()).strip()
