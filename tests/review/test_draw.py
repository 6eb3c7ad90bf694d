"""The sample: every stratum is met, shares are kept, a seed decides."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.review.draw import draw, strata_of
from hazardline.review.sample_document import ReviewClip, ReviewPair
from hazardline.tasks import TASKS, Task


def clip(number: int, label: str, source: str, tasks: tuple[Task, ...]) -> ReviewClip:
    return ReviewClip(
        clip_id=f"clip-{number:04}",
        media="",
        label=label,
        source=source,
        fps=10.0,
        num_frames=80,
        duration_s=8.0,
        fields={},
        pairs=tuple(ReviewPair(task=task, question="?", answer="!", is_of_scene=True) for task in tasks),
    )


def population() -> list[ReviewClip]:
    """600 normal clips of one source, 300 crashes of two; three crashes alone are asked for a prevention."""
    clips = [clip(number, "normal", "d2_city", TASKS[:4]) for number in range(600)]
    clips += [clip(600 + number, "crash", "mm_au", (*TASKS[:3], *TASKS[4:])) for number in range(270)]
    clips += [clip(870 + number, "crash", "dota", TASKS if number < 3 else TASKS[:3]) for number in range(30)]
    return clips


def test_every_stratum_is_met_in_proportion() -> None:
    clips = population()
    chosen = draw(clips, 100, 0)
    assert len(chosen) == 100
    assert Counter((item.label, item.source) for item in chosen) == {
        ("normal", "d2_city"): 67,
        ("crash", "mm_au"): 30,
        ("crash", "dota"): 3,
    }
    strata = strata_of(clips, chosen)
    assert all(stratum.num_drawn >= 1 for stratum in strata)
    assert sum(stratum.num_drawn for stratum in strata) == sum(len(item.pairs) for item in chosen)
    rare = next(item for item in strata if (item.source, item.task) == ("dota", "prevention_reasoning"))
    assert (rare.num_pairs, rare.num_drawn >= 1) == (3, True)


def test_a_seed_decides_whatever_the_order() -> None:
    clips = population()
    assert draw(clips, 50, 7) == draw(clips[::-1], 50, 7)
    assert draw(clips, 50, 7) != draw(clips, 50, 8)


def test_a_size_that_cannot_meet_every_stratum_is_refused_with_the_size_that_can() -> None:
    with pytest.raises(UserError, match="needs at least 3") as caught:
        draw(population(), 2, 0)
    assert "label x task x source" in str(caught.value)
    assert len(draw(population(), 3, 0)) == 3


def test_all_clips_where_there_are_no_more() -> None:
    clips = population()[:5]
    assert draw(clips, 100, 0) == clips


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
        chosen = draw(clips, size, seed)
    except UserError:
        assert size < len({(item.label, item.source, pair.task) for item in clips for pair in item.pairs})
        return
    assert len(chosen) == min(size, len(clips)) == len({item.clip_id for item in chosen})
    assert all(stratum.num_drawn for stratum in strata_of(clips, chosen))
