"""Cards of single images: the picture, its classification and its questions, true and as the candidate has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hazardline import image_file
from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.hazard_scored import FIELD_NAMES
from hazardline.evaluate.hazard_scoring import is_right, topics_of
from hazardline.evaluate.report.pictures import jpeg_uri
from hazardline.evaluate.scoring import with_reference
from hazardline.evaluate.testset import Clip
from hazardline.files import digest_json
from hazardline.hazardnet import CLASSIFICATION, TOPICS, parse_classification
from hazardline.mirror.clips import make_present
from hazardline.tasks import Task

MAX_WIDTH_PX = 360
_NOTHING = "–"


@dataclass(frozen=True)
class FieldLine:
    """A field, true and said; a dash where an answer cannot be parsed."""

    name: str
    true: str
    said: str

    @property
    def is_right(self) -> bool:
        """Whether the candidate said what is true."""
        return self.true == self.said


@dataclass(frozen=True)
class QuestionLine:
    """A question of HazardQA with two replies."""

    topic: str
    question: str
    reference: str
    said: str
    is_right: bool


@dataclass(frozen=True)
class Card:
    """One image of the report."""

    clip_id: str
    headline: str
    image: str
    """JPEG as a data URI."""
    fields: list[FieldLine]
    questions: list[QuestionLine]


def choose(clips: Sequence[Clip], answers: ModelAnswers, count: int) -> dict[str, list[Clip]]:
    """So many images with all fields right, and so many with the most wrong ones; equals by a digest of the name."""
    faults = {
        clip.clip_id: sum(not line.is_right for line in field_lines(clip, answers[clip.clip_id]))
        for clip in with_reference(clips, CLASSIFICATION)
    }
    asked = sorted(with_reference(clips, CLASSIFICATION), key=lambda clip: digest_json(clip.clip_id))
    wrong = sorted((clip for clip in asked if faults[clip.clip_id]), key=lambda clip: -faults[clip.clip_id])
    right = [clip for clip in asked if not faults[clip.clip_id]]
    return {"All fields right": right[:count], "Wrong fields": wrong[:count]}


def field_lines(clip: Clip, given: Mapping[Task, Answer]) -> list[FieldLine]:
    """The classification of an image, true and said."""
    true = parse_classification(clip.references[CLASSIFICATION]) or {}
    said = parse_classification(given[CLASSIFICATION].text) or {}
    return [
        FieldLine(short, true.get(field, _NOTHING), said.get(field, _NOTHING)) for short, field in FIELD_NAMES.items()
    ]


def card(clip: Clip, given: Mapping[Task, Answer]) -> Card:
    """Read an image and put its card together."""
    make_present([(clip.video, clip.sha256)])
    info = image_file.probe(clip.video)
    width = min(MAX_WIDTH_PX, info.width_px)
    pixels = image_file.read(clip.video, width, max(1, round(info.height_px * width / info.width_px)))
    return Card(
        clip_id=clip.clip_id,
        headline=f"{clip.clip_id} · {clip.scenario} · {clip.weather} {clip.light}",
        image=jpeg_uri(pixels),
        fields=field_lines(clip, given),
        questions=[
            QuestionLine(
                topic=TOPICS[task],
                question=clip.questions.get(task, ""),
                reference=clip.references[task],
                said=given[task].text,
                is_right=is_right(given[task].text, clip.references[task]),
            )
            for task in topics_of(clip)
        ],
    )
