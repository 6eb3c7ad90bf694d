"""What a pair must satisfy whoever wrote it; every pair that does not is kept apart with its reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hazardline.errors import UserError
from hazardline.synthesize.pair import QaPair, SceneRow, qa_id
from hazardline.tasks import (
    LOCALIZATION_TASKS,
    NEGATIVE_ANSWERS,
    TASKS,
    PromptSet,
    format_interval,
    format_point,
    parse_interval,
    parse_point,
)

Reason = Literal[
    "unknown_clip",
    "wrong_id",
    "duplicate",
    "unknown_task",
    "wrong_question",
    "empty_answer",
    "wrong_sign",
    "negative_answer_for_crash",
    "wrong_negative_answer",
    "localization_of_negative",
    "wrong_answer_form",
    "times_outside_clip",
    "times_out_of_order",
]

_HALF_STEP_S = 0.05 + 1e-9
"""Answers have one decimal, so a time may lie this far outside the clip by rounding alone."""


@dataclass(frozen=True)
class Rejected:
    """A pair that must not be used, the reason as a fixed word, and what was found."""

    pair: QaPair
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Validation:
    """The pairs in their order, parted in two."""

    accepted: list[QaPair]
    rejected: list[Rejected]

    @property
    def rejected_share(self) -> float:
        """Rejected pairs over all pairs; 0 where there are none."""
        total = len(self.accepted) + len(self.rejected)
        return len(self.rejected) / total if total else 0.0

    def check_limit(self, max_rejected_share: float) -> None:
        """Refuse a set of which too much was rejected.

        Raises:
            UserError: with the counts by reason and the first case of each.
        """
        if self.rejected_share <= max_rejected_share:
            return
        cases = {item.reason: item for item in reversed(self.rejected)}
        lines = [
            f"  {reason}: {sum(item.reason == reason for item in self.rejected)}, "
            f"first {cases[reason].pair.qa_id}: {cases[reason].detail}"
            for reason in sorted(cases)
        ]
        total = len(self.accepted) + len(self.rejected)
        raise UserError(
            f"synthesize: {len(self.rejected)} of {total} question-answer pairs were rejected "
            f"({self.rejected_share:.1%}), the recipe allows {max_rejected_share:.1%} (max_rejected_share); "
            "correct the annotations or raise the limit\n" + "\n".join(lines)
        )


def validate(pairs: Sequence[QaPair], scenes: Mapping[str, SceneRow], prompts: PromptSet) -> Validation:
    """Check every pair against its clip, its questions and the other pairs.

    Args:
        pairs: in the order in which they were written; of two with one id the second is the duplicate.
        scenes: scenes rows by clip_id.
        prompts: the version that the pairs claim.
    """
    accepted: list[QaPair] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    for pair in pairs:
        problem = _problem(pair, scenes.get(pair.clip_id), prompts)
        if problem is None and pair.qa_id in seen:
            problem = ("duplicate", f"{pair.qa_id} was given before")
        seen.add(pair.qa_id)
        if problem is None:
            accepted.append(pair)
        else:
            rejected.append(Rejected(pair, *problem))
    return Validation(accepted, rejected)


def _problem(pair: QaPair, scene: SceneRow | None, prompts: PromptSet) -> tuple[Reason, str] | None:
    if scene is None:
        return "unknown_clip", f"clip {pair.clip_id} is not in the scenes table"
    if pair.task not in TASKS:
        return "unknown_task", f"task {pair.task}; known: {', '.join(TASKS)}"
    if pair.qa_id != qa_id(pair.clip_id, pair.task):
        return "wrong_id", f"expected {qa_id(pair.clip_id, pair.task)}"
    if pair.prompt_version != prompts.version or pair.question != prompts.questions[pair.task]:
        return "wrong_question", f"not the question of {prompts.version} for {pair.task}"
    if not pair.answer.strip():
        return "empty_answer", "the answer is empty"
    if pair.is_positive != (scene["label"] == "crash"):
        return "wrong_sign", f"is_positive is {pair.is_positive}, the clip's label is {scene['label']}"
    if not pair.is_positive:
        return _negative_problem(pair)
    return _positive_problem(pair, scene)


def _negative_problem(pair: QaPair) -> tuple[Reason, str] | None:
    expected = NEGATIVE_ANSWERS.get(pair.task)
    if expected is None:
        return "localization_of_negative", f"{pair.task} is asked of crashes only"
    if pair.answer != expected:
        return "wrong_negative_answer", f"expected {expected!r}, got {pair.answer!r}"
    return None


def _positive_problem(pair: QaPair, scene: SceneRow) -> tuple[Reason, str] | None:
    if _plain(pair.answer) in {_plain(answer) for answer in NEGATIVE_ANSWERS.values()}:
        return "negative_answer_for_crash", f"a crash is answered {pair.answer!r}"
    if pair.task == "crash_recognition" and pair.answer != "Yes":
        return "wrong_answer_form", f"expected 'Yes', got {pair.answer!r}"
    if pair.task in LOCALIZATION_TASKS:
        return _times_problem(pair, scene)
    return None


def _times_problem(pair: QaPair, scene: SceneRow) -> tuple[Reason, str] | None:
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
