"""The clips of each split with their questions and reference answers, joined from the tables of earlier stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hazardline.errors import UserError
from hazardline.files import digest_json
from hazardline.suites import ALL_PROMPTS, CRASHCHAT, Suite, suite_of
from hazardline.tables import QA, SCENES, read_table
from hazardline.tasks import Task


@dataclass(frozen=True)
class Clip:
    """A clip or an image as evaluation needs it.

    `references` holds a task only where the clip has a reference answer for it, and `questions` its question there.
    """

    clip_id: str
    label: str
    scenario: str
    weather: str
    light: str
    video: Path
    sha256: str
    duration_s: float
    crash_start_s: float | None
    """At one decimal, as answers are."""
    references: dict[Task, str] = field(default_factory=dict)
    questions: dict[Task, str] = field(default_factory=dict)

    @property
    def is_crash(self) -> bool:
        """Whether the label is crash; a near miss is a negative."""
        return self.label == "crash"


@dataclass(frozen=True)
class Splits:
    """Clips by split, sorted by clip_id, and the prompt version that their questions were written with."""

    train: list[Clip]
    validation: list[Clip]
    test: list[Clip]
    prompt_version: str

    @property
    def suite(self) -> Suite:
        """What is asked, and how it hangs together."""
        return suite_of(self.prompt_version)

    @property
    def questions(self) -> dict[Task, str]:
        """The question of every task that is asked alike of every clip."""
        return ALL_PROMPTS[self.prompt_version].questions

    def question(self, clip: Clip, task: Task) -> str:
        """The clip's own question of a task, else the one that every clip is asked."""
        return clip.questions[task] if task in clip.questions else self.questions[task]

    def test_digest(self) -> str:
        """Digest over (clip_id, sha256 of the video, question, reference answer) of the test set, in order."""
        return digest_json(
            [
                [clip.clip_id, clip.sha256, self.question(clip, task), clip.references[task]]
                for clip in self.test
                for task in self.suite.tasks
                if task in clip.references
            ]
        )


def read_splits(inputs: Mapping[str, Path]) -> Splits:
    """Join scenes and question-answer pairs.

    Args:
        inputs: `ingest` and `synthesize`.

    Raises:
        UserError: the tables do not belong together, hold several prompt versions, or validation or test lack crashes
            or clips without one (images with a risk, or without).
    """
    table = inputs["synthesize"] / QA.file_name
    scenes = {row["clip_id"]: row for row in read_table(SCENES, inputs["ingest"])}
    rows = read_table(QA, inputs["synthesize"])
    versions = sorted({row["prompt_version"] for row in rows})
    if len(versions) != 1 or versions[0] not in ALL_PROMPTS:
        raise UserError(
            f"{table}: expected pairs of one known prompt version ({', '.join(ALL_PROMPTS)}), found {versions}; "
            "run synthesize again"
        )
    clips: dict[str, Clip] = {}
    members: dict[str, list[Clip]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        clip_id = row["clip_id"]
        if clip_id not in scenes:
            raise UserError(f"{table}: clip {clip_id} is not in the scenes table; run synthesize again")
        if clip_id not in clips:
            clips[clip_id] = _clip(scenes[clip_id])
            members[row["split"]].append(clips[clip_id])
        clips[clip_id].references[row["task"]] = row["answer"]
        clips[clip_id].questions[row["task"]] = row["question"]
    for part in members.values():
        part.sort(key=lambda clip: clip.clip_id)
    for name in ("validation", "test"):
        _check_both_kinds(name, members[name], suite_of(versions[0]), table)
    return Splits(members["train"], members["validation"], members["test"], versions[0])


def _clip(row: Mapping[str, object]) -> Clip:
    start = row["crash_start_s"]
    return Clip(
        clip_id=str(row["clip_id"]),
        label=str(row["label"]),
        scenario=str(row["scenario"]),
        weather=str(row["weather"]),
        light=str(row["light"]),
        video=Path(str(row["video_uri"])),
        sha256=str(row["sha256"]),
        duration_s=float(str(row["duration_s"])),
        crash_start_s=None if start is None else float(f"{start:.1f}"),
    )


def _check_both_kinds(name: str, clips: list[Clip], suite: Suite, table: Path) -> None:
    if suite is CRASHCHAT:
        num_found, num_asked, what = sum(clip.is_crash for clip in clips), len(clips), "crashes among {} clips"
        needed = "crashes and clips without one"
    else:
        keys = [clip.references[suite.key_task] for clip in clips if suite.key_task in clip.references]
        num_found, num_asked, what = sum(map(suite.says_yes, keys)), len(keys), "risks among {} classified images"
        needed = "images with a risk and without"
    if num_found == 0 or num_found == num_asked:
        raise UserError(
            f"{table}: the {name} split has {num_found} {what.format(num_asked)}; evaluation needs {needed}; take more "
            "clips or another split"
        )
