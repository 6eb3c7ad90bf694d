"""HazardNet's floor: the best answers that look at no image, chosen on the validation split for each metric.

A classification is the same for every image. A question of HazardQA differs from image to image, and a guesser may read
it: its floor is the commonest answer to each question, which is higher than the commonest answer to each topic.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hazardline.evaluate import scores, text
from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.hazard_scored import FIELD_NAMES, HAZARD_CLIP_METRICS, HAZARD_METRIC_NAMES, class_number
from hazardline.evaluate.hazard_scoring import topics_of
from hazardline.evaluate.testset import Clip
from hazardline.hazardnet import CLASSIFICATION, FIELDS, final_answer, format_classification, parse_classification
from hazardline.tasks import Task

NUM_REPLIES = 5
"""So many of the commonest replies to a question are tried for the overlap of texts."""
_OVERLAP = ("qa_rougeL", "qa_bleu4")


@dataclass(frozen=True)
class Replies:
    """A reply to each question, and one a topic for questions that validation does not hold."""

    of_question: Mapping[str, str]
    of_topic: Mapping[Task, str]

    def to(self, clip: Clip, task: Task) -> str:
        """What an image is answered."""
        return self.of_question.get(clip.questions.get(task, ""), self.of_topic.get(task, ""))


@dataclass(frozen=True)
class HazardConstants:
    """A constant classification for every metric of classifications, and the replies to HazardQA's questions."""

    classifications: Mapping[str, str]
    commonest: Replies
    """With the commonest final answer."""
    overlapping: Replies
    """With the best ROUGE-L; BLEU is computed from the same ones."""

    @classmethod
    def choose(cls, validation: Sequence[Clip]) -> Self:
        """Choose on the validation split; ties go to the first value of a field, and in alphabetical order."""
        return cls(_classifications(validation), _replies(validation, _commonest), _replies(validation, _overlapping))

    @property
    def texts(self) -> dict[str, str]:
        """What the constant is for each metric, to be shown."""
        found = {}
        for metric in HAZARD_METRIC_NAMES:
            if metric in self.classifications:
                found[metric] = self.classifications[metric]
            else:
                replies = self.overlapping if metric in _OVERLAP else self.commonest
                asked, reply = next(iter(replies.of_question.items()), ("", ""))
                said = reply if metric in _OVERLAP else final_answer(reply)
                found[metric] = f"one answer to each question, such as {said!r} to {asked!r}"
        return found

    def answers_for(self, metric: str, clips: Sequence[Clip]) -> ModelAnswers:
        """What the constant model answers when it is scored by a metric."""
        classification = self.classifications.get(metric, self.classifications["classification_exact"])
        replies = self.overlapping if metric in _OVERLAP else self.commonest
        return {clip.clip_id: self._to(clip, classification, replies) for clip in clips}

    def shown(self, clips: Sequence[Clip]) -> ModelAnswers:
        """The constant model's rows of the predictions table: the commonest classification and answers."""
        return self.answers_for("classification_exact", clips)

    @staticmethod
    def _to(clip: Clip, classification: str, replies: Replies) -> dict[Task, Answer]:
        given = {task: Answer(replies.to(clip, task)) for task in topics_of(clip)}
        if CLASSIFICATION in clip.references:
            given[CLASSIFICATION] = Answer(classification, free=classification)
        return given


def _classifications(clips: Sequence[Clip]) -> dict[str, str]:
    found = [
        parse_classification(clip.references[CLASSIFICATION]) for clip in clips if CLASSIFICATION in clip.references
    ]
    true = [values for values in found if values is not None]
    wholes = Counter(map(format_classification, true))
    whole = min(wholes, key=lambda answer: (-wholes[answer], answer))
    common = parse_classification(whole)
    assert common is not None
    chosen = dict.fromkeys(("classification_exact", "parse_failure_rate", "free_parse_failure_rate"), whole)
    best: dict[str, str] = {}
    for short, field in FIELD_NAMES.items():
        targets = np.array([class_number(field, values) for values in true])
        for metric in (f"{short}_macro_f1", f"{short}_weighted_f1"):
            score = HAZARD_CLIP_METRICS[metric].score
            tried = [scores.single(score, targets, np.full(len(targets), float(k))) for k in range(len(FIELDS[field]))]
            value = FIELDS[field][int(np.argmax(tried))]
            chosen[metric] = format_classification({**common, field: value})
            best[field] = best.get(field, value)
    chosen["classification_macro_f1"] = format_classification({field: best[field] for field in FIELDS})
    return chosen


def _replies(clips: Sequence[Clip], choose: Callable[[Counter[str]], str]) -> Replies:
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    by_topic: dict[Task, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        for task in topics_of(clip):
            by_question[clip.questions[task]][clip.references[task]] += 1
            by_topic[task][clip.references[task]] += 1
    asked = sorted(by_question, key=lambda question: (-by_question[question].total(), question))
    return Replies(
        {question: choose(by_question[question]) for question in asked},
        {task: choose(replies) for task, replies in by_topic.items()},
    )


def _commonest(replies: Counter[str]) -> str:
    """The commonest reply with the commonest final answer."""
    finals: Counter[str] = Counter()
    for reply, count in replies.items():
        finals[text.normalised(final_answer(reply))] += count
    final = min(finals, key=lambda answer: (-finals[answer], answer))
    return min(
        (reply for reply in replies if text.normalised(final_answer(reply)) == final),
        key=lambda reply: (-replies[reply], reply),
    )


def _overlapping(replies: Counter[str]) -> str:
    """Of the commonest replies the one with the best mean ROUGE-L."""
    tried = sorted(replies, key=lambda reply: (-replies[reply], reply))[:NUM_REPLIES]
    true, counts = list(replies), np.array(list(replies.values()), dtype=np.float64)
    values = [float(text.rouge([reply] * len(true), true)["rougeL"] @ counts) for reply in tried]
    return tried[int(np.argmax(values))]
