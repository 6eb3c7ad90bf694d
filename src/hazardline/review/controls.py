"""The controls of the labeling interface and what they may say, as export, import and the configuration share them.

Their forms are those of Label Studio 1.14 and later: `TimelineLabels` over frames, `Choices`, `TextArea`.
"""

from typing import Literal

from hazardline.hazardnet import CLASSIFICATION, FIELDS
from hazardline.suites import CRASHCHAT, Suite
from hazardline.tasks import LOCALIZATION_TASKS, Task

TIMES = "times"
PRE_CRASH = "pre-crash"
CRASH = "crash"
LABEL_OF: dict[Task, str] = {"crash_localization": CRASH, "pre_crash_localization": PRE_CRASH}
"""The timeline label of each localization task."""

UNSURE = "unsure"
VERDICTS = ("correct", "wrong", "unclear")
Kind = Literal["recognition", "text", "fields", "times"]


def kind_of(task: Task) -> Kind:
    """How a task is reviewed: by its own choice, a verdict with a correction, a choice a field, or marks in time."""
    if task == "crash_recognition":
        return "recognition"
    if task == CLASSIFICATION:
        return "fields"
    return "times" if task in LOCALIZATION_TASKS else "text"


def media_name(suite: Suite) -> Literal["video", "image"]:
    """Name of the object that is looked at, and the key of its address in a task's data."""
    return "video" if suite is CRASHCHAT else "image"


def correction_name(task: Task) -> str:
    """Name of the text field for the right answer."""
    return f"{task}_correction"


def choices_of(suite: Suite) -> dict[str, tuple[str, ...]]:
    """The choices of every `Choices` control by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for task in suite.tasks:
        if kind_of(task) == "recognition":
            found[task] = ("Yes", "No", UNSURE)
        elif kind_of(task) == "text":
            found[task] = VERDICTS
        elif kind_of(task) == "fields":
            found |= {name: (*values, UNSURE) for name, values in FIELDS.items()}
    return found


def texts_of(suite: Suite) -> set[str]:
    """Names of the `TextArea` controls."""
    return {correction_name(task) for task in suite.tasks if kind_of(task) == "text"}
