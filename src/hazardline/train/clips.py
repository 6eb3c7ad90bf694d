"""The clips of a branch: their questions, answers and times, joined from the scenes and the QA table."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import digest_json
from hazardline.suites import TRAINED_IN_ANY
from hazardline.tables import QA, SCENES, read_table
from hazardline.tasks import LOCALIZATION_TASKS, Branch, Task, format_interval, format_point


@dataclass(frozen=True)
class Question:
    """One question of a clip and its answer on the plain clip."""

    task: Task
    question: str
    answer: str


@dataclass(frozen=True)
class Clip:
    """A clip with the questions that a branch is trained on. Times are seconds from the clip's first frame."""

    clip_id: str
    label: str
    questions: tuple[Question, ...]
    pre_crash_start_s: float | None = None
    crash_start_s: float | None = None
    crash_end_s: float | None = None
    event_s: float | None = None

    @property
    def is_crash(self) -> bool:
        """Whether a collision happens in it."""
        return self.label == "crash"


def load_clips(ingest: Path, synthesize: Path, branch: Branch, split: str) -> list[Clip]:
    """Clips of a split that have a question of the branch, in the order of their ids.

    Raises:
        UserError: the tables do not belong together.
    """
    scenes = {row["clip_id"]: row for row in read_table(SCENES, ingest)}
    questions: dict[str, list[Question]] = defaultdict(list)
    for row in read_table(QA, synthesize):
        if row["split"] != split or row["task"] not in TRAINED_IN_ANY[branch]:
            continue
        scene = scenes.get(row["clip_id"])
        if scene is None:
            raise UserError(
                f"{synthesize / QA.file_name}: {row['qa_id']} asks about a clip that {ingest / SCENES.file_name} "
                "lacks; run synthesize again"
            )
        question = Question(row["task"], row["question"], row["answer"])
        _check_times(question, scene, synthesize)
        questions[row["clip_id"]].append(question)
    return [_clip(scenes[clip_id], found) for clip_id, found in sorted(questions.items())]


def choose(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips, chosen by a digest of their ids: the same ones in every run."""
    chosen = sorted(clips, key=lambda clip: digest_json(clip.clip_id))[:count]
    return sorted(chosen, key=lambda clip: clip.clip_id)


def localization_answer(clip: Clip, task: Task, shift_s: float, end_s: float) -> str:
    """The answer of a localization task on a clip that begins `shift_s` later and lasts `end_s` from there."""
    if task == "crash_localization":
        assert clip.crash_start_s is not None and clip.crash_end_s is not None
        return format_interval(_within(clip.crash_start_s - shift_s, end_s), _within(clip.crash_end_s - shift_s, end_s))
    assert clip.pre_crash_start_s is not None
    return format_point(_within(clip.pre_crash_start_s - shift_s, end_s))


def _within(time_s: float, end_s: float) -> float:
    return min(max(0.0, time_s), end_s)


def _clip(scene: dict[str, Any], questions: list[Question]) -> Clip:
    return Clip(
        scene["clip_id"],
        scene["label"],
        tuple(questions),
        scene["pre_crash_start_s"],
        scene["crash_start_s"],
        scene["crash_end_s"],
        scene["event_s"],
    )


def _check_times(question: Question, scene: dict[str, Any], synthesize: Path) -> None:
    """A crop derives answers from the scene's times, so the plain answer must say the same."""
    if question.task not in LOCALIZATION_TASKS:
        return
    names = ("crash_start_s", "crash_end_s") if question.task == "crash_localization" else ("pre_crash_start_s",)
    times = [scene[name] for name in names]
    expected = None if None in times else (format_interval(*times) if len(times) == 2 else format_point(*times))
    if question.answer != expected:
        raise UserError(
            f"{synthesize / QA.file_name}: {scene['clip_id']}/{question.task} answers {question.answer!r}, but the "
            f"scene says {expected!r}; run synthesize again on these scenes"
        )
