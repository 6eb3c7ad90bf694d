"""What must hold among the pairs of one clip: no contradiction between tasks, no pair said twice."""

import re
from collections.abc import Mapping, Sequence

from hazardline.hazardnet import TOPICS, final_answer
from hazardline.synthesize.pair import Problem, QaPair
from hazardline.synthesize.wording import similarity
from hazardline.tasks import NEGATIVE_ANSWERS, TEXT_TASKS, Task, parse_interval, parse_point, parse_recognition

_DENIAL = re.compile(
    r"^\W*(there (is|was|were) )?(no|not any|without) (visible |traffic |apparent )?(crash|collision|accident)", re.I
)
_HALF_STEP_S = 0.05 + 1e-9
_MIN_WORDS = 3


def contradiction(pair: QaPair, others: Mapping[Task, QaPair]) -> Problem | None:
    """What in a clip's other answers a pair contradicts.

    Args:
        pair: one of CrashChat's (HazardNet's answers about one image are checked against its truth).
        others: every pair that the annotator wrote about the clip, by task; also those that are refused.
    """
    if pair.task in TOPICS or not pair.is_positive:
        return None
    recognition = others.get("crash_recognition")
    is_seen = parse_recognition(recognition.answer) if recognition is not None else None
    if is_seen is False and pair.task != "crash_recognition" and pair.answer != NEGATIVE_ANSWERS.get(pair.task):
        return "contradiction", f"recognition says 'No', {pair.task} says {pair.answer!r}"
    if pair.task in TEXT_TASKS and _DENIAL.match(pair.answer):
        return "contradiction", f"{pair.task} of a crash says {pair.answer!r}"
    interval_pair = others.get("crash_localization")
    if pair.task == "pre_crash_localization" and interval_pair is not None:
        point, interval = parse_point(pair.answer), parse_interval(interval_pair.answer)
        if point is not None and interval is not None and point > interval[0] + _HALF_STEP_S:
            return "contradiction", f"{pair.answer!r} lies after the start of {interval_pair.answer!r}"
    return None


def near_duplicate(pair: QaPair, accepted: Sequence[QaPair], limit: float) -> Problem | None:
    """An accepted pair of the same clip that says the same: another text, or a topic asked and answered alike.

    Args:
        pair: the pair.
        accepted: the clip's pairs that were accepted before.
        limit: likeness (`hazardline.synthesize.wording.similarity`) above which two say the same.
    """
    text = _told(pair)
    if text is None or len(text.split()) < _MIN_WORDS:
        return None
    for other in accepted:
        told = _told(other)
        if told is not None and (likeness := similarity(text, told)) > limit:
            return "near_duplicate", f"{pair.answer!r} is like {other.task} {other.answer!r} ({likeness:.2f})"
    return None


def _told(pair: QaPair) -> str | None:
    """The text by which a pair is compared; None for answers of a fixed form, and for fixed negative answers."""
    if pair.task in TOPICS:
        return f"{pair.question} {final_answer(pair.answer)}"
    return pair.answer if pair.task in TEXT_TASKS and pair.is_positive else None
