"""From what a reviewer submitted for a clip to decisions about its answers, and to marks in time."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from hazardline.hazardnet import CLASSIFICATION, FIELDS, format_classification, parse_classification
from hazardline.review.controls import LABEL_OF, TIMES, UNSURE, choices_of, correction_name, kind_of, texts_of
from hazardline.review.export_file import Annotation, ForeignResult
from hazardline.review.frames import time_of
from hazardline.review.labeling_tasks import prefilled_frames
from hazardline.review.problems import Reason, ReviewProblem, shown
from hazardline.review.sample_document import ReviewClip, ReviewPair
from hazardline.suites import Suite
from hazardline.tasks import Task, format_interval, format_point, parse_recognition

MAX_TEXT_LENGTH = 4000
_MAX_FRAME = 2**31
Verdict = Literal["correct", "wrong", "unclear", "added"]
_VERDICTS: dict[str, Verdict] = {"correct": "correct", "wrong": "wrong", "unclear": "unclear"}


@dataclass(frozen=True)
class Decision:
    """One row of the decisions table (`hazardline.review.tables.DECISIONS`)."""

    clip_id: str
    task: Task
    reviewer: str
    decision: Verdict
    answer: str | None
    corrected_answer: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    lead_time_s: float | None = None
    created: str | None = None


@dataclass(frozen=True)
class Mark:
    """One row of the marks table (`hazardline.review.tables.MARKS`)."""

    clip_id: str
    mark: Literal["pre_crash", "crash_start", "crash_end"]
    reviewer: str | None
    time_s: float
    source: Literal["annotation", "reviewer", "badas"]
    is_prefilled: bool = False


@dataclass
class Outcome:
    """What one annotation says."""

    decisions: list[Decision] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    problems: list[ReviewProblem] = field(default_factory=list)


@dataclass
class _Said:
    """The readable results of an annotation, by control."""

    choices: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)


class Judge:
    """Reads one annotation of one clip."""

    def __init__(self, suite: Suite, clip: ReviewClip, annotation: Annotation, is_prefilled: bool) -> None:
        """Take the clip as it was put before the reviewer, and what came back."""
        self.suite, self.clip, self.annotation, self.is_prefilled = suite, clip, annotation, is_prefilled
        self.outcome = Outcome()

    def judge(self) -> Outcome:
        """Decisions in the order of the suite's tasks; every pair of the clip has a decision or a problem."""
        said = self._read()
        for task in self.suite.tasks:
            kind, pair = kind_of(task), self.clip.pair(task)
            if kind == "times":
                self._times(task, pair, said)
            elif pair is None:
                self._not_asked(task, said)
            elif kind == "recognition":
                self._recognition(pair, said)
            elif kind == "fields":
                self._fields(pair, said)
            else:
                self._text(pair, said)
        return self.outcome

    def _problem(self, reason: Reason, detail: str) -> None:
        self.outcome.problems.append(
            ReviewProblem(self.annotation.origin, self.clip.clip_id, self.annotation.reviewer, reason, detail)
        )

    def _decide(self, task: Task, verdict: Verdict, pair: ReviewPair | None, **more: Any) -> None:
        self.outcome.decisions.append(
            Decision(
                clip_id=self.clip.clip_id,
                task=task,
                reviewer=self.annotation.reviewer,
                decision=verdict,
                answer=None if pair is None else pair.answer,
                lead_time_s=self.annotation.lead_time_s,
                created=self.annotation.created,
                **more,
            )
        )

    # what was submitted

    def _read(self) -> _Said:
        said = _Said()
        for number, raw in enumerate(self.annotation.results, start=1):
            try:
                result = ForeignResult.model_validate(raw)
            except ValidationError as error:
                self._problem("bad_result", f"result {number}: {shown(error.errors(include_url=False)[0]['msg'])}")
                continue
            if result.from_name == TIMES and result.type == "timelinelabels":
                self._read_ranges(result.value, said)
            elif result.from_name in choices_of(self.suite) and result.type == "choices":
                self._read_choice(result.from_name, result.value, said)
            elif result.from_name in texts_of(self.suite) and result.type == "textarea":
                self._read_text(result.from_name, result.value, said)
            else:
                self._problem("unknown_control", f"result {number}: {shown(result.from_name)}, {shown(result.type)}")
        return said

    def _read_choice(self, name: str, value: dict[str, Any], said: _Said) -> None:
        allowed, found = choices_of(self.suite)[name], value.get("choices")
        if not isinstance(found, list) or len(found) != 1 or found[0] not in allowed:
            self._problem("bad_result", f"{name}: expected one of {', '.join(allowed)}, got {shown(found)}")
        elif said.choices.setdefault(name, found[0]) != found[0]:
            self._problem("several_results", f"{name}: {said.choices[name]} and {found[0]}; the first is taken")

    def _read_text(self, name: str, value: dict[str, Any], said: _Said) -> None:
        found = value.get("text")
        parts = [found] if isinstance(found, str) else found
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            self._problem("bad_result", f"{name}: expected a text, got {shown(found)}")
            return
        text = " ".join(" ".join(parts).split())
        if len(text) > MAX_TEXT_LENGTH or not text.isprintable():
            self._problem("bad_result", f"{name}: longer than {MAX_TEXT_LENGTH} characters, or not printable")
        elif text and said.texts.setdefault(name, text) != text:
            self._problem("several_results", f"{name}: two texts; the first is taken")

    def _read_ranges(self, value: dict[str, Any], said: _Said) -> None:
        labels, ranges = value.get("timelinelabels"), value.get("ranges")
        if not isinstance(labels, list) or len(labels) != 1 or labels[0] not in LABEL_OF.values():
            self._problem("bad_result", f"times: expected one label of {list(LABEL_OF.values())}, got {shown(labels)}")
            return
        for item in ranges if isinstance(ranges, list) and ranges else [ranges]:
            ends = (item.get("start"), item.get("end")) if isinstance(item, dict) else (None, None)
            frames = [frame for frame in map(_whole, ends) if frame is not None]
            if len(frames) != 2 or frames[0] > frames[1]:
                self._problem("bad_result", f"times: expected a range of two frames, got {shown(item)}")
            elif frames[0] < 1 or frames[1] > self.clip.num_frames + 1:  # the player rounds the length up
                self._problem("outside_clip", f"frames {frames[0]} to {frames[1]} of {self.clip.num_frames}")
            else:
                said.ranges.setdefault(labels[0], []).append((frames[0], frames[1]))

    # what it means

    def _not_asked(self, task: Task, said: _Said) -> None:
        names = FIELDS if task == CLASSIFICATION else (task, correction_name(task))
        given = [name for name in names if name in said.choices or name in said.texts]
        if given:
            self._problem("not_asked", f"{task}: {', '.join(given)} given, but the clip was not asked this")

    def _recognition(self, pair: ReviewPair, said: _Said) -> None:
        chosen = said.choices.get(pair.task)
        if chosen is None:
            self._problem("missing_decision", pair.task)
        elif chosen == UNSURE:
            self._decide(pair.task, "unclear", pair)
        elif parse_recognition(chosen) == parse_recognition(pair.answer):
            self._decide(pair.task, "correct", pair)
        else:
            self._decide(pair.task, "wrong", pair, corrected_answer=chosen)

    def _text(self, pair: ReviewPair, said: _Said) -> None:
        chosen, text = said.choices.get(pair.task), said.texts.get(correction_name(pair.task))
        if text is not None and chosen != "wrong":
            self._problem("correction_not_used", f"{pair.task}: a correction of an answer that is not called wrong")
        if chosen is None:
            self._problem("missing_decision", pair.task)
            return
        if chosen == "wrong" and text == pair.answer:
            self._problem("correction_not_used", f"{pair.task}: the correction is the answer itself")
            text = None
        self._decide(pair.task, _VERDICTS[chosen], pair, corrected_answer=text if chosen == "wrong" else None)

    def _fields(self, pair: ReviewPair, said: _Said) -> None:
        values = {name: said.choices[name] for name in FIELDS if name in said.choices}
        if len(values) < len(FIELDS):
            missing = ", ".join(name for name in FIELDS if name not in values)
            self._problem("missing_decision", f"{pair.task}: {missing}")
        elif UNSURE in values.values():
            self._decide(pair.task, "unclear", pair)
        elif values == parse_classification(pair.answer):
            self._decide(pair.task, "correct", pair)
        else:
            self._decide(pair.task, "wrong", pair, corrected_answer=format_classification(values))

    def _times(self, task: Task, pair: ReviewPair | None, said: _Said) -> None:
        ranges = said.ranges.get(LABEL_OF[task], [])
        frames = None if pair is None or not self.is_prefilled else prefilled_frames(self.clip, pair)
        marked = [self._mark(task, pair, found, frames) for found in ranges]
        if not marked:
            if pair is not None and frames is None:
                self._problem("missing_decision", f"{task}: no mark")
            elif pair is not None:
                self._decide(task, "wrong", pair)
            return
        if len(marked) > 1:
            self._problem("several_results", f"{task}: {len(marked)} marks; all are kept as marks, none is a decision")
            if pair is not None:
                self._decide(task, "unclear", pair)
            return
        start_s, end_s = marked[0]
        if pair is None:
            self._decide(task, "added", None, corrected_answer=_answer(start_s, end_s), start_s=start_s, end_s=end_s)
        elif (start_s, end_s) == (pair.start_s, pair.end_s):
            self._decide(task, "correct", pair, start_s=start_s, end_s=end_s)
        else:
            corrected = _answer(start_s, end_s)
            self._decide(task, "wrong", pair, corrected_answer=corrected, start_s=start_s, end_s=end_s)

    def _mark(
        self, task: Task, pair: ReviewPair | None, found: tuple[int, int], prefilled: tuple[int, int] | None
    ) -> tuple[float, float | None]:
        """The times of a range; an end that stands where the annotation's frame was shown has the annotation's time."""
        shown_at = None if pair is None else prefilled_frames(self.clip, pair)
        names = ("crash_start", "crash_end") if task == "crash_localization" else ("pre_crash",)
        times: list[float] = []
        for place, name in enumerate(names):
            exact = None if pair is None else (pair.start_s, pair.end_s)[place]
            is_same = shown_at is not None and found[place] == shown_at[place] and exact is not None
            time_s = exact if is_same and exact is not None else time_of(found[place], self.clip.fps)
            times.append(time_s)
            self.outcome.marks.append(
                Mark(
                    clip_id=self.clip.clip_id,
                    mark=name,  # type: ignore[arg-type]
                    reviewer=self.annotation.reviewer,
                    time_s=time_s,
                    source="reviewer",
                    is_prefilled=is_same and prefilled is not None,
                )
            )
        return times[0], times[1] if len(times) > 1 else None


def _whole(value: Any) -> int | None:
    """A frame number, also one that is written as 3.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MAX_FRAME:
        return None
    return int(value) if value == int(value) else None


def _answer(start_s: float, end_s: float | None) -> str:
    return format_point(start_s) if end_s is None else format_interval(start_s, end_s)
