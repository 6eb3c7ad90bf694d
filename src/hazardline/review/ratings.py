"""Decisions as ratings: of what, by whom, which category. Agreement is computed from these."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from hazardline.hazardnet import CLASSIFICATION, FIELDS
from hazardline.review.controls import UNSURE, kind_of
from hazardline.review.sample_document import ReviewSample
from hazardline.tasks import parse_recognition

ANNOTATION = "annotation"
"""Who gave the ratings of the annotation itself."""
Ratings = dict[str, dict[str, str]]
"""Clip -> rater -> category."""
Row = Mapping[str, Any]


def ratings_by_topic(sample: ReviewSample, decisions: Iterable[Row]) -> dict[str, Ratings]:
    """Topic (a task, or a field of the classification) -> clip -> rater -> category.

    The annotation is a rater where an answer is a category itself (recognition, classification). Answers in words are
    rated `correct`, `wrong` or `unclear`, so that there reviewers can be compared with each other only. Marks in time
    are no categories and have no topic here.
    """
    found: dict[str, Ratings] = defaultdict(lambda: defaultdict(dict))
    for clip in sample.clips:
        for pair in clip.pairs:
            for topic, category in _categories(pair.task, "correct", pair.answer, None).items():
                if kind_of(pair.task) != "text":
                    found[topic][clip.clip_id][ANNOTATION] = category
    for row in decisions:
        said = _categories(row["task"], row["decision"], row["answer"], row["corrected_answer"])
        for topic, category in said.items():
            found[topic][row["clip_id"]][row["reviewer"]] = category
    return {topic: dict(ratings) for topic, ratings in found.items()}


def _categories(task: Any, decision: str, answer: str | None, corrected: str | None) -> dict[str, str]:
    kind = kind_of(task)
    if kind == "times":
        return {}
    if kind == "text":
        return {task: decision}
    value = corrected if decision == "wrong" else answer
    if decision == "unclear" or value is None:
        return {task: UNSURE} if kind == "recognition" else dict.fromkeys(map(field_topic, FIELDS), UNSURE)
    if kind == "recognition":
        return {task: {True: "Yes", False: "No", None: UNSURE}[parse_recognition(value)]}
    return {field_topic(name): str(found) for name, found in json.loads(value).items()}


def field_topic(name: str) -> str:
    """How a field of the classification is called among the topics."""
    return f"{CLASSIFICATION}.{name}"
