"""From verdicts to corrections: which columns of the scenes table (or which answers) change, and what stays open."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from hazardline.documents import Document
from hazardline.review.candidates import TEXT_COLUMNS
from hazardline.review.controls import kind_of
from hazardline.review.corrections import ANSWER_PREFIX, Correction
from hazardline.review.sample_document import FieldValue, ReviewClip, ReviewPair, ReviewSample, SceneField
from hazardline.review.verdict import Verdict
from hazardline.tasks import NEGATIVE_ANSWERS, Task

NoCrashLabel = Literal["near_miss", "normal"]
_OF_A_CRASH: tuple[SceneField, ...] = ("crash_start_s", "crash_end_s", "description", "cause", "prevention")
_TIMES: dict[Task, tuple[tuple[SceneField, str], ...]] = {
    "crash_localization": (("crash_start_s", "start_s"), ("crash_end_s", "end_s")),
    "pre_crash_localization": (("pre_crash_start_s", "start_s"),),
}


class Unresolved(Document):
    """A decision that changes nothing, and why."""

    clip_id: str
    task: str
    reason: Literal[
        "tie",
        "unclear",
        "corrections_differ",
        "no_correction",
        "too_few_reviewers",
        "not_confirmed",
        "needs_label",
        "no_interval",
        "marks_without_crash",
        "fixed_answer",
        "moot",
    ]
    """Up to `not_confirmed` those of a verdict (`hazardline.review.verdict`). `needs_label`: no crash, but near miss or
    normal? `no_interval`: a crash that nobody marked. `marks_without_crash`: crash marks in a clip that stays without
    one. `fixed_answer`: the answer to a clip without a crash is fixed. `moot`: the clip is no crash any more."""
    reviewers: tuple[str, ...]


@dataclass
class Corrected:
    """What a review changes, and what it leaves open."""

    corrections: list[Correction] = field(default_factory=list)
    unresolved: list[Unresolved] = field(default_factory=list)


def corrections_of(
    sample: ReviewSample, found: Iterable[Verdict], no_crash_label: NoCrashLabel | None = None
) -> Corrected:
    """Corrections of every clip, in the order of the sample.

    Args:
        sample: what was reviewed, with the values of the scenes table at that time.
        found: verdicts of clips of the sample.
        no_crash_label: what a crash becomes that reviewers say is none; None leaves it open.
    """
    by_clip: dict[str, dict[Task, Verdict]] = defaultdict(dict)
    for verdict in found:
        by_clip[verdict.clip_id][verdict.task] = verdict
    result = Corrected()
    for clip in sample.clips:
        _Clip(clip, by_clip[clip.clip_id], sample.sample_id(), result).correct(no_crash_label)
    return result


class _Clip:
    """Turns the verdicts about one clip into corrections."""

    def __init__(self, clip: ReviewClip, found: dict[Task, Verdict], sample_id: str, result: Corrected) -> None:
        self.clip, self.found, self.sample_id, self.result = clip, found, sample_id, result

    def correct(self, no_crash_label: NoCrashLabel | None) -> None:
        for verdict in self.found.values():
            if verdict.reason is not None:
                self._leave(verdict, verdict.reason)
        recognition = self.found.get("crash_recognition")
        others = [
            verdict
            for task, verdict in self.found.items()
            if verdict.outcome == "corrected" and task != "crash_recognition"
        ]
        if recognition is None or recognition.chosen is None:
            self._correct_parts(others, is_crash=self.clip.label == "crash")
        elif recognition.chosen["corrected_answer"] == "No":
            self._no_crash(recognition, others, no_crash_label)
        else:
            self._crash(recognition, others)

    def _no_crash(self, verdict: Verdict, others: list[Verdict], label: NoCrashLabel | None) -> None:
        if label is None:
            for item in (verdict, *others):
                self._leave(item, "needs_label")
            return
        self._change("label", label, verdict)
        for name in _OF_A_CRASH:
            if self.clip.fields[name] is not None:
                self._change(name, None, verdict)
        for item in others:
            self._leave(item, "moot")

    def _crash(self, verdict: Verdict, others: list[Verdict]) -> None:
        if not any(item.task == "crash_localization" for item in others):
            for item in (verdict, *others):
                self._leave(item, "no_interval")
            return
        self._change("label", "crash", verdict)
        self._correct_parts(others, is_crash=True)

    def _correct_parts(self, others: list[Verdict], is_crash: bool) -> None:
        for verdict in others:
            assert verdict.chosen is not None, "a corrected verdict follows a decision"
            pair = self.clip.pair(verdict.task)
            if kind_of(verdict.task) == "times" and (pair is None or pair.is_of_scene):
                self._correct_times(verdict, is_crash)
            elif verdict.task in TEXT_COLUMNS and self._is_of_column(pair, is_crash):
                self._change(TEXT_COLUMNS[verdict.task], verdict.chosen["corrected_answer"], verdict)
            elif pair is not None and pair.answer == NEGATIVE_ANSWERS.get(verdict.task):
                self._leave(verdict, "fixed_answer")
            else:
                self._add(f"{ANSWER_PREFIX}{verdict.task}", verdict.chosen["answer"], verdict)

    def _correct_times(self, verdict: Verdict, is_crash: bool) -> None:
        if not is_crash:
            self._leave(verdict, "marks_without_crash")
            return
        assert verdict.chosen is not None, "a corrected verdict follows a decision"
        for name, column in _TIMES[verdict.task]:
            if verdict.chosen[column] != self.clip.fields[name]:
                self._change(name, verdict.chosen[column], verdict)

    def _is_of_column(self, pair: ReviewPair | None, is_crash: bool) -> bool:
        """The scenes table holds the answer, or will: the clip is found to be a crash, whose text was not asked for."""
        if pair is not None and pair.is_of_scene:
            return True
        return is_crash and self.clip.label != "crash"

    def _change(self, name: SceneField, new: FieldValue, verdict: Verdict) -> None:
        self._put(name, self.clip.fields[name], new, verdict)

    def _add(self, name: str, old: FieldValue, verdict: Verdict) -> None:
        assert verdict.chosen is not None, "a corrected verdict follows a decision"
        self._put(name, old, verdict.chosen["corrected_answer"], verdict)

    def _put(self, name: str, old: FieldValue, new: FieldValue, verdict: Verdict) -> None:
        assert verdict.how is not None, "a corrected verdict says how it was decided"
        self.result.corrections.append(
            Correction(
                clip_id=self.clip.clip_id,
                field=name,
                old=old,
                new=new,
                task=verdict.task,
                reviewers=verdict.reviewers,
                decided=verdict.how,
                sample=self.sample_id,
            )
        )

    def _leave(self, verdict: Verdict, reason: str) -> None:
        self.result.unresolved.append(
            Unresolved(
                clip_id=self.clip.clip_id,
                task=verdict.task,
                reason=reason,  # type: ignore[arg-type]
                reviewers=verdict.reviewers,
            )
        )
