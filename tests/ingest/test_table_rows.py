from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.ingest import parquet_rows, rows


def _csv(folder: Path, data: bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(data)
    return path


def _parquet(folder: Path, rows: int = 200) -> Path:
    path = folder / "table.parquet"
    table = pa.table({"id": list(range(rows)), "text": [f"row {n} " * 20 for n in range(rows)], "other": ["x"] * rows})
    pq.write_table(table, path, row_group_size=50)
    return path


def test_rows_by_column_name(tmp_path: Path) -> None:
    path = _csv(tmp_path, '\ufeff id ,text\r\n1,"a, ""b""\n\nc"\r\n2\r\n3,d,e,f\r\n'.encode())
    assert list(rows.numbered_rows(path, "a table")) == [
        (4, {"id": "1", "text": 'a, "b"\n\nc'}),
        (5, {"id": "2", "text": ""}),
        (6, {"id": "3", "text": "d"}),
    ]
    assert rows.column_names(path, "a table") == ["id", "text"]
    assert rows.column_names(_csv(tmp_path, b""), "a table") == []


def test_csv_that_is_no_table(tmp_path: Path) -> None:
    for read in (lambda path: list(rows.numbered_rows(path, "a table")), lambda p: rows.column_names(p, "a table")):
        with pytest.raises(UserError, match=r"cannot be read .*; expected a table"):
            read(tmp_path)
        with pytest.raises(UserError, match=r"not a table with commas .*; expected a table"):
            read(_csv(tmp_path, b'"' + b"x" * 200_000))
    (row,) = rows.numbered_rows(_csv(tmp_path, b"text\n\xff\n"), "a table")
    assert row[1]["text"] == "\N{REPLACEMENT CHARACTER}"


def test_an_endless_line_of_csv_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_PIECE_CHARACTERS", 100)
    path = _csv(tmp_path, b"text\n" + b"x" * 1000)
    assert {len(row["text"]) for _, row in rows.numbered_rows(path, "a table")} == {100}


def test_parquet_rows_of_some_columns(tmp_path: Path) -> None:
    path = _parquet(tmp_path)
    assert parquet_rows.column_names(path, "a table") == ["id", "text", "other"]
    rows = list(parquet_rows.read_rows(path, ("id", "other"), "a table"))
    assert len(rows) == 200 and rows[199] == (199, {"id": 199, "other": "x"})


def test_parquet_that_would_unpack_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _parquet(tmp_path)
    monkeypatch.setattr(parquet_rows, "MAX_GROUP_BYTES", 1000)
    with pytest.raises(UserError, match=r"row group 0 unpacks to \d+ bytes, expected at most 1000"):
        list(parquet_rows.read_rows(path, ("text",), "a table"))


def test_parquet_that_is_none(tmp_path: Path) -> None:
    whole = _parquet(tmp_path).read_bytes()
    path = tmp_path / "table.parquet"
    for data in (b"", b"PAR1", b"text" * 100, whole[:-100]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"not readable as Parquet .*; expected a table"):
            parquet_rows.column_names(path, "a table")
    path.write_bytes(whole[100:])
    with pytest.raises(UserError, match=r"damaged behind row 0 .*; get the file again"):
        list(parquet_rows.read_rows(path, ("text",), "a table"))


@given(st.data())
def test_any_damage_of_parquet_is_an_error_of_the_user(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = _parquet(folder, 60)
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        columns = [name for name in parquet_rows.column_names(path, "a table") if name in ("id", "text")]
        assert sum(1 for _ in parquet_rows.read_rows(path, columns, "a table")) <= 1 << 20
    except UserError as error:
        assert str(path) in str(error)


@given(st.one_of(st.binary(max_size=300), st.text(alphabet='ab,"\r\n\0;', max_size=300).map(str.encode)))
def test_any_bytes_are_rows_or_an_error_of_the_user(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = _csv(tmp_path_factory.getbasetemp(), data)
    try:
        rows.column_names(path, "a table")
        found = list(rows.numbered_rows(path, "a table"))
    except UserError:
        return
    assert all(isinstance(value, str) for _, row in found for value in row.values())
