"""The promotion log by itself: which entries count, and what an altered one does."""

from collections.abc import Sequence

import pytest

from hazardline.errors import UserError
from hazardline.register.ledger import Entry, counting, head_digest, previous_champion


def extended(log: Sequence[Entry], action: str, start: int | None, end: int, nonce: str = "") -> list[Entry]:
    entry = Entry.parse(
        {
            "model_name": "m",
            "sequence": len(log) + 1,
            "action": action,
            "from_version": start,
            "to_version": end,
            "who": "ann",
            "when": "2026-01-01T00:00:00.000+00:00",
            "why": "test",
            "decision_digest": None,
            "nonce": nonce or f"{action}{start}{end}",
            "previous_digest": head_digest(log),
        },
        "test",
    )
    return [*log, entry]


def log_of(*changes: tuple[str, int | None, int]) -> list[Entry]:
    log: list[Entry] = []
    for change in changes:
        log = extended(log, *change)
    return log


LOG = log_of(("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3))


def test_of_two_entries_on_one_head_the_first_counts() -> None:
    first = extended(LOG, "promote", 3, 4)
    late = extended(LOG, "promote", 3, 5)[-1]
    after = extended(first, "promote", 4, 6)
    assert counting([*first, late, after[-1]], "log") == after
    assert counting([*LOG, late, first[-1]], "log") == [*LOG, late]


def test_the_same_entry_written_twice_by_a_repeated_request_counts_once() -> None:
    assert counting([*LOG, LOG[-1]], "log") == LOG


@pytest.mark.parametrize("number", [0, 1])
def test_an_altered_entry_breaks_the_log(number: int) -> None:
    altered = list(LOG)
    altered[number] = LOG[number].model_copy(update={"who": "mallory"})
    with pytest.raises(UserError, match="altered"):
        counting(altered, "log")


@pytest.mark.parametrize("number", [0, 1])
def test_a_deleted_entry_breaks_the_log(number: int) -> None:
    with pytest.raises(UserError, match="altered"):
        counting([entry for entry in LOG if entry is not LOG[number]], "log")


@pytest.mark.parametrize(
    "changes, previous",
    [
        ([], None),
        ([("promote", None, 1)], None),
        ([("promote", None, 1), ("promote", 1, 2)], 1),
        ([("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3)], 2),
        ([("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3), ("rollback", 3, 2)], 1),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1)], None),
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 3)], 1),
        # the writer of the second entry died: the registry still has version 1
        ([("promote", None, 1), ("promote", 1, 2), ("promote", 1, 3)], 1),
        # someone moved the alias by hand to a version that the log does not know
        ([("promote", None, 1), ("promote", 9, 2)], 9),
        # someone removed the alias by hand
        ([("promote", None, 1), ("promote", None, 2)], 1),
        # a rollback to what someone had put under the alias `previous` by hand
        ([("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 7)], 1),
    ],
)
def test_where_a_rollback_would_lead(changes: list[tuple[str, int | None, int]], previous: int | None) -> None:
    assert previous_champion(log_of(*changes)) == previous
