import time

import pytest

from hazardline.ingest.pool import Lost, run_isolated
from tests.ingest import failing


def test_every_item_comes_back_with_its_index() -> None:
    assert dict(run_isolated(failing.double, range(7), 2, 60)) == {k: 2 * k for k in range(7)}


def test_nothing_to_do_starts_nothing() -> None:
    assert list(run_isolated(failing.double, [], 2, 60)) == []


def test_a_process_that_dies_costs_one_item_only() -> None:
    results = dict(run_isolated(failing.die_at_two, range(5), 2, 60))
    lost = results.pop(2)
    assert results == {0: 0, 1: 1, 3: 3, 4: 4}
    assert isinstance(lost, Lost) and "exit code -11" in lost.detail


def test_a_process_that_hangs_is_ended() -> None:
    started_s = time.monotonic()
    results = dict(run_isolated(failing.hang_at_one, range(3), 1, 0.5))
    assert time.monotonic() - started_s < 60
    lost = results.pop(1)
    assert results == {0: 0, 2: 2} and isinstance(lost, Lost) and "within" in lost.detail


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="ValueError: three is too many"):
        list(run_isolated(failing.raise_at_three, range(5), 2, 60))


def test_a_process_that_cannot_start_is_said() -> None:
    with pytest.raises(RuntimeError, match="cannot start"):
        list(run_isolated(failing.double, range(3), 1, 60, failing.cannot_start))
