"""What `review sample` says it drew (`sample.json`): the clips, what is asked about them, and how they were drawn."""

from typing import Literal

from hazardline.documents import Document
from hazardline.tasks import Task

SAMPLE_NAME = "sample.json"
TASKS_NAME = "tasks.json"
CONFIG_NAME = "config.xml"

SceneField = Literal[
    "label",
    "pre_crash_start_s",
    "crash_start_s",
    "crash_end_s",
    "description",
    "cause",
    "prevention",
    "classification",
]
"""Columns of the scenes table that a review can correct."""
FieldValue = str | float | None

How = Literal["single", "majority", "adjudicated"]


class ReviewPair(Document):
    """A question with the answer under review."""

    task: Task
    question: str
    answer: str
    is_of_scene: bool
    """The answer says what the scenes table says, so that its correction is one of the scenes table."""
    start_s: float | None = None
    """Of a localization: the exact time, where the scenes table has one (answers have one decimal)."""
    end_s: float | None = None
    """Of the crash interval."""


class ReviewClip(Document):
    """One task of the Label Studio project."""

    clip_id: str
    media: str
    """Address that Label Studio loads the video or image from."""
    label: str
    source: str
    fps: float
    num_frames: int
    duration_s: float
    fields: dict[SceneField, FieldValue]
    """What the scenes table said when the sample was drawn."""
    pairs: tuple[ReviewPair, ...]

    def pair(self, task: Task) -> ReviewPair | None:
        """The pair of a task, if the clip was asked it."""
        return next((pair for pair in self.pairs if pair.task == task), None)


class Stratum(Document):
    """One combination of label, task and source, in question-answer pairs."""

    label: str
    task: Task
    source: str
    num_pairs: int
    num_drawn: int


class LeftOut(Document):
    """Clips that could not be drawn, and why; `left_out.parquet` names them."""

    reason: str
    num_clips: int


class ReviewSample(Document):
    """The sample of one review."""

    version: Literal["review_sample@1"] = "review_sample@1"
    suite: Literal["crashchat", "hazardnet"]
    prompt_version: str
    scenes_digest: str
    """Of the data set that it was drawn from (`hazardline.review.dataset_digest`)."""
    seed: int
    is_prefilled: bool
    """Reviewers saw the annotation's marks and choices as predictions."""
    num_clips: int
    """Of the data set; clips without a pair are among them."""
    strata: tuple[Stratum, ...]
    left_out: tuple[LeftOut, ...]
    clips: tuple[ReviewClip, ...]

    def sample_id(self) -> str:
        """What the tasks of this sample carry, so that another sample's export is noticed.

        It does not depend on where the media lie.
        """
        clips = tuple(clip.model_copy(update={"media": ""}) for clip in self.clips)
        return self.model_copy(update={"clips": clips}).digest()[:16]
