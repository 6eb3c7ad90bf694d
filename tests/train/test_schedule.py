"""Rate and data order are functions of the step."""

from collections import Counter
from itertools import pairwise

import pytest

from hazardline.train.schedule import learning_rate, visits_of_step


def test_rate_warms_up_and_falls_to_its_floor() -> None:
    rates = [learning_rate(step, 100, 2e-3, 10, 0.05) for step in range(100)]
    assert rates[0] == pytest.approx(2e-4) and rates[9] == pytest.approx(2e-3) and max(rates) == pytest.approx(2e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1e-4)


def test_a_line_falls_evenly_to_nothing() -> None:
    rates = [learning_rate(step, 12, 1.0, 2, 0.0, "linear") for step in range(12)]
    assert rates[:2] == [0.5, 1.0] and rates[-1] == 0
    steps = [one - other for one, other in pairwise(rates[2:])]
    assert steps == pytest.approx([1 / 9] * 9)


def test_a_run_shorter_than_its_warm_up_still_reaches_the_peak() -> None:
    assert learning_rate(2, 3, 1.0, 30, 0.1) == pytest.approx(1.0)


def test_every_epoch_visits_every_clip_once_in_another_order() -> None:
    visits = [visit for step in range(15) for visit in visits_of_step(step, 10, 4, [7, 0, 1])]
    epochs = [[clip for epoch, clip in visits if epoch == number] for number in range(6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_the_order_depends_on_the_seed_alone() -> None:
    assert visits_of_step(3, 10, 4, [7, 0, 1]) == visits_of_step(3, 10, 4, [7, 0, 1])
    assert visits_of_step(3, 10, 4, [7, 0, 1]) != visits_of_step(3, 10, 4, [8, 0, 1])


def test_a_step_may_be_larger_than_an_epoch() -> None:
    counts = Counter(clip for _, clip in visits_of_step(0, 3, 9, [0]))
    assert counts == {0: 3, 1: 3, 2: 3}
