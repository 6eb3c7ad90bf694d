"""When a branch is over: CrashChat's rule."""

import pytest

from hazardline.train.document import ValidationLosses
from hazardline.train.early_stopping import best, is_over


def measured(*losses: float) -> list[ValidationLosses]:
    return [
        ValidationLosses(step=10 * number, losses={"crash_recognition": loss, "cause_reasoning": loss})
        for number, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ((), False),
        ((3.0, 2.0, 1.0), False),
        ((1.0, 1.1, 1.2), False),
        ((1.0, 1.1, 1.2, 1.3), True),
        ((1.0, 1.1, 1.2, 0.9), False),
        ((1.0, 0.9995, 0.9994, 0.9993), True),  # falls, but by less than the threshold
        ((1.0, 0.9995, 0.9994, 0.9), False),
    ],
)
def test_three_measurements_without_progress_end_a_branch(losses: tuple[float, ...], over: bool) -> None:
    assert is_over(measured(*losses), patience=3, threshold=0.001) is over


def test_the_best_is_the_first_of_the_lowest() -> None:
    assert best(measured(2.0, 1.0, 1.5, 1.0)).step == 20
