"""The result document: which direction is better, and that a new run replaces only what it measured."""

from pathlib import Path

import pytest

from benchmarks.training.document import RESULTS, Results, merged, ratio_of, record, row


@pytest.mark.parametrize("unit", ["QA/s", "tokens/s", "fraction", "accuracy"])
def test_more_is_better(unit: str) -> None:
    assert ratio_of(6.0, 2.0, unit) == 3.0


@pytest.mark.parametrize("unit", ["s", "s/QA", "MiB", "loss"])
def test_less_is_better(unit: str) -> None:
    assert ratio_of(2.0, 6.0, unit) == 3.0


def test_an_unknown_unit_has_no_direction() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        ratio_of(1.0, 1.0, "furlongs")


def test_a_row_keeps_ratio_and_detail() -> None:
    found = row("padded_k5_p1024", 0.1234567, 0.987654, "s", "padded", flop_limit=7.0)
    assert (found.ours, found.peer, found.ratio) == (0.12346, 0.98765, 8.0)
    assert found.detail == {"flop_limit": 7.0}


def test_new_rows_take_the_place_of_old_ones() -> None:
    old = [row("a", 1.0, 2.0, "s"), row("b", 1.0, 2.0, "s")]
    new = [row("b", 1.0, 3.0, "s"), row("c", 1.0, 4.0, "s")]
    assert [(one.case, one.ratio) for one in merged(old, new)] == [("a", 2.0), ("b", 3.0), ("c", 4.0)]


def test_recording_keeps_other_cases(tmp_path: Path) -> None:
    path = tmp_path / "results" / "training.json"
    record([row("a", 1.0, 2.0, "s")], path)
    record([row("b", 4.0, 2.0, "QA/s")], path)
    read = Results.read(path)
    assert [one.case for one in read.rows] == ["a", "b"]
    assert all(one.commit for one in read.rows)
    assert read.machine.cores > 0
    assert "torch" in read.versions


@pytest.mark.skipif(not RESULTS.is_file(), reason="the benchmark has not run here")
def test_the_recorded_ratios_are_those_of_their_figures() -> None:
    for one in Results.read(RESULTS).rows:
        assert one.ratio == pytest.approx(ratio_of(one.ours, one.peer, one.unit), rel=2e-3), one.case
