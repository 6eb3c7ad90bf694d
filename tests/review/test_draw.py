"""The sample: every stratum is met, shares are kept, a seed decides."""

import hashlib
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.review.draw import Candidate, draw
from hazardline.tasks import TASKS, Task


def clip(number: int, label: str, source: str, tasks: tuple[Task, ...]) -> Candidate:
    return Candidate(f"clip-{number:04}", label, source, tasks)


def population() -> list[Candidate]:
    """600 normal clips of one source, 300 crashes of two; three crashes alone are asked for a prevention."""
    clips = [clip(number, "normal", "d2_city", TASKS[:4]) for number in range(600)]
    clips += [clip(600 + number, "crash", "mm_au", (*TASKS[:3], *TASKS[4:])) for number in range(270)]
    clips += [clip(870 + number, "crash", "dota", TASKS if number < 3 else TASKS[:3]) for number in range(30)]
    return clips


def test_every_stratum_is_met_in_proportion() -> None:
    clips = population()
    drawn = draw(clips, 100, 0)
    chosen = [item for item in clips if item.clip_id in drawn.clip_ids]
    assert len(chosen) == len(drawn.clip_ids) == 100
    assert Counter((item.label, item.source) for item in chosen) == {
        ("normal", "d2_city"): 67,
        ("crash", "mm_au"): 30,
        ("crash", "dota"): 3,
    }
    assert all(stratum.num_drawn >= 1 for stratum in drawn.strata)
    assert sum(stratum.num_drawn for stratum in drawn.strata) == sum(len(item.tasks) for item in chosen)
    rare = next(item for item in drawn.strata if (item.source, item.task) == ("dota", "prevention_reasoning"))
    assert (rare.num_pairs, rare.num_drawn >= 1) == (3, True)


def test_a_seed_decides_whatever_the_order() -> None:
    clips = population()
    assert draw(clips, 50, 7) == draw(clips[::-1], 50, 7)
    assert draw(clips, 50, 7) != draw(clips, 50, 8)


def test_a_size_that_cannot_meet_every_stratum_is_refused_with_the_size_that_can() -> None:
    with pytest.raises(UserError, match="needs at least 3") as caught:
        draw(population(), 2, 0)
    assert "label x task x source" in str(caught.value)
    assert len(draw(population(), 3, 0).clip_ids) == 3


def test_all_clips_where_there_are_no_more() -> None:
    clips = population()[:5]
    assert draw(clips, 100, 0).clip_ids == tuple(item.clip_id for item in clips)


kinds = st.tuples(
    st.sampled_from(["crash", "near_miss", "normal"]),
    st.sampled_from(["a", "b", "c"]),
    st.sets(st.sampled_from(TASKS), min_size=1).map(lambda tasks: tuple(sorted(tasks, key=TASKS.index))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(kinds, min_size=1, max_size=60), st.integers(1, 40), st.integers(0, 3))
def test_whatever_the_population_no_stratum_is_missed(
    rows: list[tuple[str, str, tuple[Task, ...]]], size: int, seed: int
) -> None:
    clips = [clip(number, *row) for number, row in enumerate(rows)]
    try:
        drawn = draw(clips, size, seed)
    except UserError:
        assert size < len({(item.label, item.source, task) for item in clips for task in item.tasks})
        return
    assert len(drawn.clip_ids) == min(size, len(clips)) == len(set(drawn.clip_ids))
    assert all(stratum.num_drawn for stratum in drawn.strata)
    by_id = {item.clip_id: item for item in clips}
    assert list(drawn.clip_ids) == sorted(drawn.clip_ids)
    for cell in {(item.label, item.source) for item in clips}:
        chosen = [by_id[clip_id] for clip_id in drawn.clip_ids if (by_id[clip_id].label, by_id[clip_id].source) == cell]
        members = [item for item in clips if (item.label, item.source) == cell]
        assert {item.clip_id for item in chosen} == {item.clip_id for item in _ordered(members, seed)[: len(chosen)]}


def _ordered(members: list[Candidate], seed: int) -> list[Candidate]:
    """All clips of a cell in the order in which they take seats: those that meet its tasks first, rare tasks first."""
    order = sorted(members, key=lambda item: hashlib.sha256(f"{seed}\0{item.clip_id}".encode()).digest())
    holders = {task: [item for item in order if task in item.tasks] for task in TASKS}
    first: list[Candidate] = []
    for task in sorted(TASKS, key=lambda task: (len(holders[task]), task)):
        if holders[task] and not any(task in item.tasks for item in first):
            first.append(holders[task][0])
    return [*first, *(item for item in order if item not in first)]


def test_many_clips_take_the_memory_of_few() -> None:
    def peak(num: int) -> int:
        kinds = [("crash", "dota", TASKS), ("normal", "d2_city", TASKS[:4])]
        tracemalloc.start()
        draw((clip(number, *kinds[number % 2]) for number in range(num)), 20, 0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # what is made once
    assert peak(20_000) < 1.5 * peak(1_000)
