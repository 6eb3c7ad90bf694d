from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.ingest.row_groups import RowGroups


def test_groups_come_in_the_order_of_their_first_rows() -> None:
    with RowGroups() as rows:
        for key, row in [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("a", "5"), ("", "6")]:
            rows.add(key, row)
        assert [(key, list(members)) for key, members in rows.groups()] == [
            ("b", ["1", "3"]),
            ("a", ["2", "5"]),
            ("c", ["4"]),
            ("", ["6"]),
        ]
        assert [key for key, _ in rows.groups()] == ["b", "a", "c", ""]  # members need not be read
        assert rows.rows_of("a") == ["2", "5"] and rows.rows_of("none") == []


def test_what_was_not_taken_is_left() -> None:
    with RowGroups() as rows:
        for key in ("a", "b", "c"):
            rows.add(key, key.upper())
        assert rows.take("b") and not rows.take("b") and not rows.take("none")
        assert list(rows.left()) == [("a", "A"), ("c", "C")]


def test_its_file_goes_and_a_failing_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with RowGroups() as rows:
        rows.add("a", "1")
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"rows cannot be kept there .*make room, or set TMPDIR"), RowGroups() as rows:
        rows._database.execute("PRAGMA max_page_count = 1")
        for number in range(10_000):
            rows.add(str(number), "x" * 1000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), RowGroups():
        raise KeyError
