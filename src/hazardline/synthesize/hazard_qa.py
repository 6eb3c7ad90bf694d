"""HazardQA's questions about a simulated image: which it is asked, and the replies, reasoning first.

An image is asked five of the seven topics, one question each. Topics, questions and wordings are chosen by a digest of
the clip_id, so the same image is always asked the same.
"""

from dataclasses import dataclass

from hazardline.files import digest_json
from hazardline.hazardnet import TOPICS, TOPICS_PER_IMAGE
from hazardline.synthesize.hazard_templates import TEMPLATES, Seen
from hazardline.tasks import Task


@dataclass(frozen=True)
class TopicQuestion:
    """What an image is asked about a topic."""

    task: Task
    question: str
    reasoning: str
    answer: str


def questions_of(clip_id: str, seen: Seen) -> tuple[list[TopicQuestion], list[tuple[Task, str]]]:
    """The questions of an image, in the order of the topics, and the topics that it lacks to five, with the reason."""
    asked: list[TopicQuestion] = []
    unanswerable: list[tuple[Task, str]] = []
    for task in sorted(TOPICS, key=lambda task: _draw(clip_id, task)):
        if len(asked) == TOPICS_PER_IMAGE:
            break
        question = _ask(clip_id, task, seen)
        if question is None:
            unanswerable.append((task, "the image shows no answer to any question of this topic"))
        else:
            asked.append(question)
    order = list(TOPICS)
    missing = unanswerable[: TOPICS_PER_IMAGE - len(asked)]
    return sorted(asked, key=lambda item: order.index(item.task)), missing


def _ask(clip_id: str, task: Task, seen: Seen) -> TopicQuestion | None:
    templates = TEMPLATES[task]
    for number in sorted(range(len(templates)), key=lambda number: _draw(clip_id, task, number)):
        template = templates[number]
        reply = template.reply(seen)
        if reply is not None:
            wording = template.wordings[_draw(clip_id, task, number, "wording") % len(template.wordings)]
            return TopicQuestion(task, wording, *reply)
    return None


def _draw(*parts: str | int) -> int:
    return int(digest_json(list(parts))[:12], 16)
