"""The deterministic annotator: the annotation's own words and times, or CrashChat's fixed negative answers.

A near miss is a negative: no collision happens in it. The two localization tasks are asked of crashes only,
because CrashChat (arXiv 2512.18878) has no negative answer for them.
"""

from hazardline.synthesize.pair import Annotation, QaPair, SceneRow, qa_id
from hazardline.tasks import NEGATIVE_ANSWERS, TASKS, PromptSet, Task, format_interval, format_point

NAME = "deterministic"
_TEXT_COLUMNS: dict[Task, str] = {
    "crash_description": "description",
    "cause_reasoning": "cause",
    "prevention_reasoning": "prevention",
}


def annotate(scene: SceneRow, split: str, prompts: PromptSet) -> Annotation:
    """Write the pairs of one clip.

    Args:
        scene: a row of the scenes table.
        split: train, validation or test.
        prompts: the questions.

    Returns:
        At most six pairs in task order; a crash without a text or a time gets fewer, each with the reason.
    """
    is_crash = scene["label"] == "crash"
    pairs: list[QaPair] = []
    unasked: list[tuple[Task, str]] = []
    for task in TASKS:
        answer, missing = _crash_answer(task, scene) if is_crash else (NEGATIVE_ANSWERS.get(task), None)
        if missing is not None:
            unasked.append((task, missing))
        if answer is not None:
            pairs.append(
                QaPair(
                    qa_id=qa_id(scene["clip_id"], task),
                    clip_id=scene["clip_id"],
                    split=split,
                    task=task,
                    question=prompts.questions[task],
                    answer=answer,
                    is_positive=is_crash,
                    annotator=NAME,
                    prompt_version=prompts.version,
                )
            )
    return Annotation(pairs, unasked)


def _crash_answer(task: Task, scene: SceneRow) -> tuple[str | None, str | None]:
    """The answer for a crash, or the reason why the annotation does not hold one."""
    if task == "crash_recognition":
        return "Yes", None
    if task == "crash_localization":
        if scene["crash_start_s"] is None or scene["crash_end_s"] is None:
            return None, "no crash_start_s and crash_end_s"
        return format_interval(scene["crash_start_s"], scene["crash_end_s"]), None
    if task == "pre_crash_localization":
        if scene["pre_crash_start_s"] is None:
            return None, "no pre_crash_start_s"
        return format_point(scene["pre_crash_start_s"]), None
    column = _TEXT_COLUMNS[task]
    text = (scene[column] or "").strip()
    return (text, None) if text else (None, f"no {column}")
