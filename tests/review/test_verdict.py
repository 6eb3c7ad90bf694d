"""One verdict from several reviewers: majorities, ties that stay open, marks that are never averaged."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.review.verdict import Rules, Verdict, verdicts


def row(reviewer: str, decision: str, corrected: str | None = None, start_s: float | None = None) -> dict[str, Any]:
    task = "crash_description" if start_s is None else "pre_crash_localization"
    return {
        "clip_id": "a",
        "task": task,
        "reviewer": reviewer,
        "decision": decision,
        "answer": "x",
        "corrected_answer": f"{start_s:.1f} seconds" if start_s is not None else corrected,
        "start_s": start_s,
        "end_s": None,
    }


def decided(*rows: dict[str, Any], **rules: Any) -> Verdict:
    (found,) = verdicts(rows, Rules(**rules))
    return found


def said(*decisions: str) -> list[dict[str, Any]]:
    return [row(f"r{number}", decision, "y") for number, decision in enumerate(decisions)]


@pytest.mark.parametrize(
    ("decisions", "outcome"),
    [
        (["correct"], ("accepted", "single", None)),
        (["wrong"], ("corrected", "single", None)),
        (["unclear"], ("open", None, "unclear")),
        (["correct", "correct", "wrong"], ("accepted", "majority", None)),
        (["wrong", "correct", "wrong"], ("corrected", "majority", None)),
        (["correct", "wrong"], ("open", None, "tie")),
        (["correct", "unclear"], ("open", None, "tie")),
        (["correct", "wrong", "unclear"], ("open", None, "tie")),
        (["unclear", "unclear"], ("open", None, "unclear")),
    ],
)
def test_majorities(decisions: list[str], outcome: tuple[str, str | None, str | None]) -> None:
    found = decided(*said(*decisions))
    assert (found.outcome, found.how, found.reason) == outcome


def test_a_majority_against_an_answer_needs_one_correction() -> None:
    differ = decided(row("r1", "wrong", "y"), row("r2", "wrong", "z"))
    assert (differ.outcome, differ.reason) == ("open", "corrections_differ")
    assert decided(row("r1", "wrong"), row("r2", "wrong")).reason == "no_correction"
    agreed = decided(row("r1", "wrong", "y"), row("r2", "wrong", "z"), row("r3", "wrong", "y"))
    assert agreed.chosen is not None and agreed.chosen["corrected_answer"] == "y"
    assert agreed.reviewers == ("r1", "r3")


def test_of_marks_one_reviewers_own_is_taken_never_a_mean() -> None:
    times = {"r1": 1.0, "r2": 1.2, "r3": 1.3, "r4": 3.0}
    found = decided(*[row(name, "wrong", start_s=time_s) for name, time_s in times.items()])
    assert found.chosen is not None and found.chosen["start_s"] == 1.2
    assert found.reviewers == ("r1", "r2", "r3")
    apart = decided(row("r1", "wrong", start_s=1.0), row("r2", "wrong", start_s=1.6))
    assert (apart.outcome, apart.reason) == ("open", "corrections_differ")
    wider = decided(row("r1", "wrong", start_s=1.0), row("r2", "wrong", start_s=1.6), tolerance_s=0.6)
    assert wider.chosen is not None and wider.chosen["start_s"] in (1.0, 1.6)


def test_an_adjudicator_ends_a_disagreement() -> None:
    rows = [*said("correct", "wrong"), row("chief", "wrong", "z")]
    found = decided(*rows, adjudicator="chief")
    assert (found.outcome, found.how, found.reviewers) == ("corrected", "adjudicated", ("chief",))
    assert found.chosen is not None and found.chosen["corrected_answer"] == "z"
    undecided = decided(*said("correct", "wrong"), row("chief", "unclear"), adjudicator="chief")
    assert undecided.reason == "tie"


def test_who_adds_no_mark_where_another_does_has_voted() -> None:
    """Three saw the clip; silence is a vote against a new mark."""
    seen = said("correct", "correct", "correct")
    mine, yours = (row(f"r{number}", "added", start_s=1.0) for number in (0, 1))
    _, alone = verdicts([*seen, mine])
    assert (alone.outcome, alone.reason, alone.is_added) == ("open", "not_confirmed", True)
    _, both = verdicts([*seen, mine, yours])
    assert (both.outcome, both.how, both.reviewers) == ("corrected", "majority", ("r0", "r1"))
    (single,) = verdicts([mine])
    assert (single.outcome, single.how) == ("corrected", "single")


def test_too_few_reviewers_change_nothing() -> None:
    assert decided(*said("wrong"), min_reviewers=2).reason == "too_few_reviewers"
    assert decided(*said("wrong", "wrong"), min_reviewers=2).outcome == "corrected"


votes = st.lists(st.tuples(st.sampled_from(["correct", "wrong"]), st.floats(0, 10)), min_size=1, max_size=7)


@given(votes, st.permutations(range(7)))
def test_a_verdict_depends_on_what_is_said_not_on_the_order(found: list[tuple[str, float]], order: list[int]) -> None:
    rows = [row(f"r{number}", decision, start_s=time_s) for number, (decision, time_s) in enumerate(found)]
    shuffled = [rows[place] for place in order if place < len(rows)]
    one, two = decided(*rows), decided(*shuffled)
    assert one == two
    if one.chosen is not None:
        assert one.chosen in rows, "a reviewer's own decision"
        assert len(one.reviewers) > len(rows) / 2
