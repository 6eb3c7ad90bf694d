"""What reviewers together say of one answer. Disagreement is never averaged away: a tie stays open and is listed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hazardline.evaluate.scores import TOLERANCE_S
from hazardline.review.sample_document import How
from hazardline.tasks import Task

OpenReason = Literal["tie", "unclear", "corrections_differ", "no_correction", "too_few_reviewers", "not_confirmed"]
Row = dict[str, Any]
"""A row of the decisions table."""
_EPSILON_S = 1e-9


@dataclass(frozen=True)
class Verdict:
    """The outcome for one clip and task."""

    clip_id: str
    task: Task
    outcome: Literal["accepted", "corrected", "open"]
    how: How | None
    reason: OpenReason | None
    reviewers: tuple[str, ...]
    """Those who carry it; of an open one all who said something."""
    chosen: Row | None = None
    """The decision that is followed: one reviewer's own words or times."""
    is_added: bool = False
    """About marks that the annotation does not have: there is no answer that could be accepted."""


@dataclass(frozen=True)
class Rules:
    """How several decisions become one.

    Attributes:
        adjudicator: a reviewer whose decision (other than unclear) ends the matter.
        min_reviewers: fewer reviewers decide nothing, unless one is the adjudicator.
        tolerance_s: marks that lie within it of each other say the same (CrashChat's tolerance).
    """

    adjudicator: str | None = None
    min_reviewers: int = 1
    tolerance_s: float = TOLERANCE_S


def verdicts(decisions: Iterable[Row], rules: Rules | None = None) -> list[Verdict]:
    """One verdict for each clip and task that somebody decided, in the order of the decisions.

    Args:
        decisions: rows of the decisions table, one for each reviewer, clip and task.
        rules: None for the defaults.
    """
    groups: dict[tuple[str, Task], list[Row]] = defaultdict(list)
    reviewers: dict[str, set[str]] = defaultdict(set)
    for row in decisions:
        groups[row["clip_id"], row["task"]].append(row)
        reviewers[row["clip_id"]].add(row["reviewer"])
    return [_Vote(key, rows, len(reviewers[key[0]]), rules or Rules()).verdict() for key, rows in groups.items()]


class _Vote:
    """The decisions about one answer. Who saw the clip and added no mark where another did has voted against it."""

    def __init__(self, key: tuple[str, Task], rows: list[Row], num_of_clip: int, rules: Rules) -> None:
        self.key, self.rows, self.rules = key, rows, rules
        self.is_added = any(row["decision"] == "added" for row in rows)
        self.num_voters = num_of_clip if self.is_added else len(rows)

    def verdict(self) -> Verdict:
        final = [row for row in self.rows if row["reviewer"] == self.rules.adjudicator and row["decision"] != "unclear"]
        if final:
            return self._follow(final, "adjudicated")
        if self.num_voters < self.rules.min_reviewers:
            return self._open("too_few_reviewers")
        correct = [row for row in self.rows if row["decision"] == "correct"]
        against = [row for row in self.rows if row["decision"] in ("wrong", "added")]
        if self._is_majority(correct):
            return self._follow(correct, self._how())
        if self._is_majority(against):
            agreeing = _largest_agreement(against, self.rules.tolerance_s)
            if self._is_majority(agreeing):
                return self._follow(agreeing, self._how())
            has_correction = any(row["corrected_answer"] is not None for row in against)
            return self._open("corrections_differ" if has_correction else "no_correction")
        if self.is_added:
            return self._open("not_confirmed")
        return self._open("tie" if correct or against else "unclear")

    def _is_majority(self, rows: list[Row]) -> bool:
        return len(rows) > self.num_voters / 2

    def _how(self) -> How:
        return "single" if self.num_voters == 1 else "majority"

    def _follow(self, agreeing: list[Row], how: How) -> Verdict:
        """The first of those who agree is followed (see `_largest_agreement`)."""
        first = agreeing[0]
        if first["decision"] == "correct":
            return Verdict(*self.key, "accepted", how, None, _names(agreeing))
        if first["corrected_answer"] is None:
            return self._open("no_correction")
        return Verdict(*self.key, "corrected", how, None, _names(agreeing), first, self.is_added)

    def _open(self, reason: OpenReason) -> Verdict:
        return Verdict(*self.key, "open", None, reason, _names(self.rows), None, self.is_added)


def _names(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(sorted(row["reviewer"] for row in rows))


def _largest_agreement(rows: list[Row], tolerance_s: float) -> list[Row]:
    """The most rows that say the same as one of them, which comes first: the one nearest to the others it agrees with.

    Of times it is a reviewer's own mark, never a mean.
    """

    def distance_s(one: Row, other: Row) -> float | None:
        """Largest distance of the ends; None where two rows do not say the same."""
        if one["start_s"] is not None and other["start_s"] is not None:
            ends = [(one[name], other[name]) for name in ("start_s", "end_s") if one[name] is not None]
            if any(end is None for _, end in ends):
                return None
            far = max(abs(first - second) for first, second in ends)
            return far if far <= tolerance_s + _EPSILON_S else None
        return 0.0 if one["corrected_answer"] == other["corrected_answer"] else None

    best: tuple[int, float] = (0, 0.0)
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["start_s"] or 0.0, row["end_s"] or 0.0, row["reviewer"])):
        apart = [(other, distance_s(row, other)) for other in rows if other is not row]
        same = [(other, far) for other, far in apart if far is not None]
        score = (1 + len(same), -sum(far for _, far in same))
        if not found or score > best:
            best, found = score, [row, *(other for other, _ in same)]
    return found
