"""Task suites: what a recipe's model is asked, and how its answers hang together. A prompt version belongs to one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hazardline.hazardnet import CLASSIFICATION, HAZARDNET_PROMPTS, HAZARDNET_TASKS, SCHEMAS, parse_classification
from hazardline.tasks import (
    ANSWERED_BY,
    LOCALIZATION_TASKS,
    PROMPTS,
    TASKS,
    TRAINED_ON,
    Branch,
    PromptSet,
    Task,
    parse_recognition,
)


@dataclass(frozen=True)
class Suite:
    """The tasks of one paper.

    Attributes:
        name: `crashchat` or `hazardnet`.
        prompts: its prompt versions.
        tasks: in the order in which they are asked and shown.
        trained_on: tasks of each branch.
        answered_by: the branch of each task, where it was trained.
        key_task: the answer that everything hangs on: a device must give it exactly as the exporter did.
        second_pass: tasks that are asked only where the key task's answer is `Yes` (CrashChat, section 3.2).
        schemas: JSON schema of tasks whose answers are decoded under one.
    """

    name: str
    prompts: Mapping[str, PromptSet]
    tasks: tuple[Task, ...]
    trained_on: Mapping[Branch, tuple[Task, ...]]
    answered_by: Mapping[Task, Branch]
    key_task: Task
    second_pass: tuple[Task, ...] = ()
    schemas: Mapping[Task, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def first_pass(self) -> tuple[Task, ...]:
        """Tasks that are asked of every clip."""
        return tuple(task for task in self.tasks if task not in self.second_pass)

    def says_yes(self, answer: str) -> bool:
        """Whether an answer to the key task says that there is a crash, or a risk; False for one that says nothing."""
        if self.key_task == CLASSIFICATION:
            return (parse_classification(answer) or {}).get("IsThereRisk") == "Yes"
        return parse_recognition(answer) is True


CRASHCHAT = Suite("crashchat", PROMPTS, TASKS, TRAINED_ON, ANSWERED_BY, "crash_recognition", LOCALIZATION_TASKS)
HAZARDNET = Suite(
    "hazardnet",
    HAZARDNET_PROMPTS,
    HAZARDNET_TASKS,
    {"linguistic": HAZARDNET_TASKS},
    dict.fromkeys(HAZARDNET_TASKS, "linguistic"),
    CLASSIFICATION,
    schemas=SCHEMAS,
)
SUITES: tuple[Suite, ...] = (CRASHCHAT, HAZARDNET)
ALL_PROMPTS: dict[str, PromptSet] = {version: prompts for suite in SUITES for version, prompts in suite.prompts.items()}
TRAINED_IN_ANY: dict[Branch, tuple[Task, ...]] = {
    branch: tuple(task for suite in SUITES for task in suite.trained_on.get(branch, ()))
    for branch in ("linguistic", "perception")
}
"""Tasks that a branch may be trained on, whatever the suite; which of them there are, the QA table says."""


def suite_of(prompt_version: str) -> Suite:
    """The suite of a prompt version; KeyError where there is none (see `ALL_PROMPTS`)."""
    for suite in SUITES:
        if prompt_version in suite.prompts:
            return suite
    raise KeyError(prompt_version)
