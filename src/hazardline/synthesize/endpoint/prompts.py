"""What an endpoint is asked about a clip or an image: versioned wordings, and the form of the answer.

The wording goes into the key of every answer and, as a digest, into the report. A changed wording is a new version.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, create_model

from hazardline.documents import Document
from hazardline.files import digest_json
from hazardline.hazardnet import CLASSIFICATION, FIELDS, TOPICS, TOPICS_PER_IMAGE, parse_classification
from hazardline.suites import CRASHCHAT, HAZARDNET
from hazardline.synthesize.pair import SceneRow
from hazardline.tasks import Task


@dataclass(frozen=True)
class Wording:
    """The fixed texts of an annotator prompt."""

    name: str
    system: str
    task: str
    keys: Mapping[str, str]
    """What the keys of the answer hold."""
    as_json: str = "Answer with one JSON object and nothing else. Its keys:"

    def digest(self) -> str:
        """Hex SHA-256 over all of it."""
        return digest_json(asdict(self))


@dataclass(frozen=True)
class Question:
    """What is asked about one clip: texts before and after its frames, and the document that answers it."""

    wording: Wording
    before: str
    after: str
    reply: type[Document]


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return " ".join(text.split())


Text = Annotated[str, AfterValidator(_said)]
"""A text of some words, blanks made single."""


class TopicReply(Document):
    """A question about one topic of HazardQA, and its answer."""

    question: Text
    reasoning: Text
    answer: Text


CRASH = Wording(
    "crashchat-annotator@1",
    "You annotate traffic videos for a data set that trains driver assistance. You are exact, you say only what the "
    "frames and the given facts show, and you write plain English.",
    "The frames above are from one dashcam clip of a traffic accident, each with its time in the clip. Describe the "
    "accident. The facts of the annotation are right; do not contradict them, and name no road user that neither they "
    "nor the frames show. Call the car with the camera the ego car.",
    {
        "description": "what happens, one short sentence: subject, verb, object",
        "cause": "the most likely cause of the accident, one sentence",
        "prevention": "how drivers or other road users could have prevented it, a paragraph of practical advice",
        "pre_crash_start_s": "time in seconds of the first visible sign of the accident, before it starts",
        "crash_start_s": "time in seconds at which the accident starts",
        "crash_end_s": "time in seconds at which the accident is over, after its start",
    },
)
HAZARD = Wording(
    "hazardqa-annotator@1",
    "You write questions and answers about driving scenes for a data set that trains driver assistance. You are exact, "
    "you say only what the image shows, and you write plain English.",
    "Look at the image from the driver's view. Write one question with its answer for each of the topics below. A "
    "question must be answerable from the image alone and must not contain its answer; the questions must differ. The "
    "reasoning says step by step what in the image leads to the answer; the answer is short.",
    {
        **dict[str, str](TOPICS.items()),
        CLASSIFICATION: "the scene as a whole; without a risk AgentClassification and SuggestedAction are N/A",
    },
)
WORDINGS: dict[str, Wording] = {CRASHCHAT.name: CRASH, HAZARDNET.name: HAZARD}

_CRASH_TEXTS = ("description", "cause", "prevention")
_CRASH_TIMES = ("pre_crash_start_s", "crash_start_s", "crash_end_s")


def question_about(scene: SceneRow, suite: str) -> Question | None:
    """What an endpoint is asked about a clip; None where nothing is open: CrashChat's negative answers are fixed."""
    if suite == CRASHCHAT.name:
        return _crash_question(scene) if scene["label"] == "crash" else None
    return _hazard_question(scene)


def _crash_question(scene: SceneRow) -> Question:
    open_times = tuple(name for name in _CRASH_TIMES if scene[name] is None)
    return Question(CRASH, _facts(scene), _asked(CRASH, (*_CRASH_TEXTS, *open_times)), _crash_reply(open_times))


@lru_cache
def _crash_reply(open_times: tuple[str, ...]) -> type[Document]:
    fields: dict[str, Any] = {name: (Text, ...) for name in _CRASH_TEXTS} | {name: (float, ...) for name in open_times}
    return create_model("CrashReply", __base__=Document, **fields)


def _hazard_question(scene: SceneRow) -> Question:
    keys: tuple[str, ...] = tuple(topics_of(scene["clip_id"]))
    if asks_classification(scene):
        keys = (*keys, CLASSIFICATION)
    return Question(HAZARD, _facts(scene), _asked(HAZARD, keys), _hazard_reply(keys))


@lru_cache
def _hazard_reply(keys: tuple[str, ...]) -> type[Document]:
    fields: dict[str, Any] = {key: (_ClassificationReply if key == CLASSIFICATION else TopicReply, ...) for key in keys}
    return create_model("HazardReply", __base__=Document, **fields)


_ClassificationReply: type[Document] = create_model(
    "ClassificationReply",
    __base__=Document,
    **{name: (Literal[values], ...) for name, values in FIELDS.items()},  # type: ignore[call-overload]
)


def asks_classification(scene: SceneRow) -> bool:
    """Whether neither exact truth nor annotation says how an image is classified."""
    return scene["still"] is None and parse_classification(scene["classification"] or "") is None


def topics_of(clip_id: str) -> list[Task]:
    """The five of HazardQA's seven topics that a scene is asked, by a digest of its id, in the order of the topics."""
    drawn = sorted(TOPICS, key=lambda task: digest_json([clip_id, task]))[:TOPICS_PER_IMAGE]
    return [task for task in TOPICS if task in drawn]


def _asked(wording: Wording, keys: tuple[str, ...]) -> str:
    lines = [f"- {key}: {wording.keys[key]}" for key in keys]
    if wording is HAZARD:
        lines.append("Each topic is an object with the keys question, reasoning and answer, all texts.")
        if CLASSIFICATION in keys:
            lines += [f"{name} is one of: {', '.join(values)}." for name, values in FIELDS.items()]
    return "\n".join([wording.task, wording.as_json, *lines])


_FACTS = {
    "pre_crash_start_s": "first sign of the accident at {:.1f} s",
    "crash_start_s": "the accident starts at {:.1f} s",
    "crash_end_s": "the accident is over at {:.1f} s",
    "accident_type": "type of accident: {}",
    "weather": "weather: {}",
    "light": "light: {}",
    "scene": "place: {}",
    "description": "annotators' description: {}",
    "cause": "annotators' cause: {}",
    "prevention": "annotators' advice: {}",
}
_UNSAID = (None, "", "unknown", "n/a")


def _facts(scene: SceneRow) -> str:
    """What the annotation says of a clip, for the endpoint to keep to."""
    facts = [
        text.format(scene[name])
        for name, text in _FACTS.items()
        if (scene[name].lower() if isinstance(scene[name], str) else scene[name]) not in _UNSAID
    ]
    if scene["ego_involved"] is not None:
        facts.append(f"the ego car is {'part of it' if scene['ego_involved'] else 'only a witness'}")
    if scene["agents"]:
        facts.append(f"road users: {', '.join(scene['agents'])}")
    return "\n".join(["Facts of the annotation:", *(f"- {fact}" for fact in facts)]) if facts else ""
