import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hazardline.errors import UserError
from hazardline.tables import ASSIGNMENT, QUARANTINE, TableWriter, count_rows, read_rows, read_table, write_table


def rows(count):
    return [{"clip_id": f"c{i:06}", "group_id": f"g{i % 7}", "split": ("train", "test")[i % 2]} for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 9000])
def test_a_small_table_has_the_bytes_of_one_row_group(tmp_path, count):
    schema = ASSIGNMENT.schema.with_metadata({b"hazardline.table": b"assignment@1"})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(count), schema=schema), sink, compression="zstd")
    assert write_table(ASSIGNMENT, tmp_path, rows(count)).read_bytes() == sink.getvalue()
    assert list(read_rows(ASSIGNMENT, tmp_path)) == read_table(ASSIGNMENT, tmp_path) == rows(count)
    assert count_rows(ASSIGNMENT, tmp_path) == count


def test_row_groups_are_bounded_and_the_bytes_are_those_of_the_rows(tmp_path):
    for name in ("first", "second"):
        with TableWriter(ASSIGNMENT, tmp_path / name, rows_per_group=1000) as writer:
            for row in rows(2500):
                writer.write(row)
        assert writer.num_rows == 2500
    first, second = (tmp_path / name / ASSIGNMENT.file_name for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    metadata = pq.read_metadata(first)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1000, 1000, 500]
    assert list(read_rows(ASSIGNMENT, tmp_path / "first", batch_rows=300)) == rows(2500)


def test_columns_may_be_chosen(tmp_path):
    write_table(ASSIGNMENT, tmp_path, rows(3))
    assert list(read_rows(ASSIGNMENT, tmp_path, ["clip_id"])) == [{"clip_id": row["clip_id"]} for row in rows(3)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"clip_id": "a"}, r"columns differ from the schema: \['group_id', 'split'\]"),
        ({"clip_id": None, "group_id": "g", "split": "train"}, "column clip_id has a null"),
        ({"clip_id": 1, "group_id": "g", "split": "train"}, "assignment@1"),
    ],
)
def test_a_bad_row_leaves_the_file_that_was_there(tmp_path, bad, message):
    path = write_table(ASSIGNMENT, tmp_path, rows(2))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message), TableWriter(ASSIGNMENT, tmp_path) as writer:
        writer.write(rows(1)[0])
        writer.write(bad)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_block_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), TableWriter(ASSIGNMENT, tmp_path) as writer:
        for row in rows(5000):
            writer.write(row)
        raise KeyError("the block's own")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_such_table_is_refused_at_the_call(tmp_path):
    with pytest.raises(UserError, match="cannot be read as a assignment@1 table"):
        read_rows(ASSIGNMENT, tmp_path)
    write_table(QUARANTINE, tmp_path, [])
    (tmp_path / QUARANTINE.file_name).rename(tmp_path / ASSIGNMENT.file_name)
    with pytest.raises(UserError, match="holds quarantine@1, expected assignment@1"):
        read_rows(ASSIGNMENT, tmp_path)


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    path = write_table(ASSIGNMENT, tmp_path, rows(20000))
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as a assignment@1 table"):
        list(read_rows(ASSIGNMENT, tmp_path))
