"""What reviewers together say of one answer. Disagreement is never averaged away: a tie stays open and is listed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hazardline.evaluate.scores import TOLERANCE_S
from hazardline.tasks import Task

How = Literal["single", "majority", "adjudicated"]
OpenReason = Literal["tie", "unclear", "corrections_differ", "no_correction", "too_few_reviewers"]
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


def verdicts(
    decisions: Iterable[Row], adjudicator: str | None = None, min_reviewers: int = 1, tolerance_s: float = TOLERANCE_S
) -> list[Verdict]:
    """One verdict for each clip and task that somebody decided, in the order of the decisions.

    Args:
        decisions: rows of the decisions table, one for each reviewer, clip and task.
        adjudicator: a reviewer whose decision (other than unclear) ends the matter.
        min_reviewers: fewer reviewers decide nothing, unless one is the adjudicator.
        tolerance_s: marks that lie within it of each other say the same (CrashChat's tolerance).
    """
    groups: dict[tuple[str, Task], list[Row]] = defaultdict(list)
    for row in decisions:
        groups[row["clip_id"], row["task"]].append(row)
    return [_verdict(key, rows, adjudicator, min_reviewers, tolerance_s) for key, rows in groups.items()]


def _verdict(
    key: tuple[str, Task], rows: list[Row], adjudicator: str | None, min_reviewers: int, tolerance_s: float
) -> Verdict:
    final = [row for row in rows if row["reviewer"] == adjudicator and row["decision"] != "unclear"]
    if final:
        return _follow(key, final, "adjudicated")
    if len(rows) < min_reviewers:
        return _open(key, rows, "too_few_reviewers")
    how: How = "single" if len(rows) == 1 else "majority"
    correct = [row for row in rows if row["decision"] == "correct"]
    against = [row for row in rows if row["decision"] in ("wrong", "added")]
    if len(correct) > len(rows) / 2:
        return Verdict(*key, "accepted", how, None, _names(correct))
    if len(against) > len(rows) / 2:
        agreeing = _largest_agreement(against, tolerance_s)
        if len(agreeing) > len(rows) / 2:
            return _follow(key, agreeing, how)
        has_correction = any(row["corrected_answer"] is not None for row in against)
        return _open(key, rows, "corrections_differ" if has_correction else "no_correction")
    return _open(key, rows, "tie" if correct or against else "unclear")


def _follow(key: tuple[str, Task], agreeing: list[Row], how: How) -> Verdict:
    """The first of those who agree is followed (see `_largest_agreement`)."""
    first = agreeing[0]
    if first["decision"] == "correct":
        return Verdict(*key, "accepted", how, None, _names(agreeing))
    if first["corrected_answer"] is None:
        return _open(key, agreeing, "no_correction")
    return Verdict(*key, "corrected", how, None, _names(agreeing), first)


def _open(key: tuple[str, Task], rows: list[Row], reason: OpenReason) -> Verdict:
    return Verdict(*key, "open", None, reason, _names(rows))


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
