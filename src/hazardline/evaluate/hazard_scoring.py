"""From answers about images to clip scores: a target and a value an image for every metric of `HAZARD_CLIP_METRICS`."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hazardline.evaluate import text
from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.hazard_scored import FIELD_NAMES, TOPIC_METRICS, class_number, code_of
from hazardline.evaluate.scores import Array
from hazardline.evaluate.scoring import ClipValues, Rows, with_reference
from hazardline.evaluate.testset import Clip
from hazardline.hazardnet import CLASSIFICATION, TOPICS, final_answer, parse_classification
from hazardline.tasks import Task

_Scorer = Callable[[Sequence[Clip], ModelAnswers], Rows]


def score_images(metric: str, clips: Sequence[Clip], answers: ModelAnswers) -> ClipValues:
    """Targets and values of one metric of `HAZARD_CLIP_METRICS`, on the images that it is defined for."""
    return ClipValues.of(_SCORERS[metric](clips, answers))


def bleu_rows(clips: Sequence[Clip], answers: ModelAnswers) -> tuple[list[str], Array]:
    """Images that are asked anything, and counts of corpus BLEU over their replies, an image a row."""
    asked = [clip for clip in clips if topics_of(clip)]
    rows = [text.bleu_counts(*_replies(clip, answers[clip.clip_id])).sum(axis=0) for clip in asked]
    counts = np.stack(rows) if rows else np.zeros((0, text.bleu_counts([""], [""]).shape[1]))
    return [clip.clip_id for clip in asked], counts


def topics_of(clip: Clip) -> list[Task]:
    """The topics that an image is asked, in their order."""
    return [task for task in TOPICS if task in clip.references]


def is_right(reply: str, reference: str) -> bool:
    """Whether two replies end in the same final answer (case, blanks and a final full stop aside)."""
    return text.normalised(final_answer(reply)) == text.normalised(final_answer(reference))


def _replies(clip: Clip, given: Mapping[Task, Answer]) -> tuple[list[str], list[str]]:
    tasks = topics_of(clip)
    return [given[task].text for task in tasks], [clip.references[task] for task in tasks]


def _fields(clip: Clip, answers: ModelAnswers) -> tuple[dict[str, str], dict[str, str] | None]:
    """The true classification and the model's."""
    true = parse_classification(clip.references[CLASSIFICATION])
    assert true is not None, "synthesize validates reference classifications"
    return true, parse_classification(answers[clip.clip_id][CLASSIFICATION].text)


def _field(name: str) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
        for clip in with_reference(clips, CLASSIFICATION):
            true, said = _fields(clip, answers)
            yield clip.clip_id, class_number(name, true), class_number(name, said)

    return rows


def _whole(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
    for clip in with_reference(clips, CLASSIFICATION):
        true, said = _fields(clip, answers)
        yield clip.clip_id, code_of(true), code_of(said)


def _parse_failure(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
    for clip in with_reference(clips, CLASSIFICATION):
        yield clip.clip_id, 1.0, float(_fields(clip, answers)[1] is None)


def _free_parse_failure(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
    for clip in with_reference(clips, CLASSIFICATION):
        free = answers[clip.clip_id][CLASSIFICATION].free
        if free is not None:
            yield clip.clip_id, 1.0, float(parse_classification(free) is None)


def _accuracy(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
    for clip in clips:
        said, true = _replies(clip, answers[clip.clip_id])
        if true:
            yield clip.clip_id, float(len(true)), float(sum(map(is_right, said, true)))


def _topic_accuracy(task: Task) -> _Scorer:
    def rows(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
        for clip in with_reference(clips, task):
            yield clip.clip_id, 1.0, float(is_right(answers[clip.clip_id][task].text, clip.references[task]))

    return rows


def _rouge(clips: Sequence[Clip], answers: ModelAnswers) -> Rows:
    for clip in clips:
        said, true = _replies(clip, answers[clip.clip_id])
        if true:
            yield clip.clip_id, float(len(true)), float(text.rouge(said, true)["rougeL"].sum())


_SCORERS: dict[str, _Scorer] = {
    "classification_macro_f1": _whole,
    "classification_exact": _whole,
    **{f"{short}_macro_f1": _field(name) for short, name in FIELD_NAMES.items()},
    **{f"{short}_weighted_f1": _field(name) for short, name in FIELD_NAMES.items()},
    "parse_failure_rate": _parse_failure,
    "free_parse_failure_rate": _free_parse_failure,
    "qa_accuracy": _accuracy,
    **{metric: _topic_accuracy(task) for metric, task in TOPIC_METRICS.items()},
    "qa_rougeL": _rouge,
}
