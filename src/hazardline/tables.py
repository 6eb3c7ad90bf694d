"""The Parquet tables that pass between stages: their schemas, and the one way to write and to read them.

A table file carries its name and version in the Parquet metadata; a reader refuses any other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.errors import UserError
from hazardline.files import atomic_stream

TABLE_NAME_KEY = b"hazardline.table"
ROWS_PER_GROUP = 1 << 16
"""Rows of a Parquet row group: what a reader or a writer holds at most, as columns."""
_ROWS_PER_PORTION = 1 << 12
"""Rows that are held as Python objects at a time."""
_READ_BYTES = 1 << 20
"""Column chunks are read in pieces of this size, since a row group may hold a whole table. Without `pre_buffer=False`
pyarrow reads whole chunks ahead all the same."""


@dataclass(frozen=True)
class Table:
    """A declared table: its name with a version, its file name, its columns."""

    name: str
    file_name: str
    schema: pa.Schema


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


SCENES = Table(
    "scenes@3",
    "scenes.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("video_uri", pa.string()),  # absolute path; later also s3://
            _required("sha256", pa.string()),
            _required("size_bytes", pa.int64()),
            _required("source", pa.string()),
            _required("label", pa.string()),  # crash | near_miss | normal
            pa.field("pair_id", pa.string()),
            pa.field("recording_id", pa.string()),
            pa.field("channel_id", pa.string()),
            pa.field("location", pa.string()),
            pa.field("published_split", pa.string()),  # train | validation | test, where the data set has its own
            _required("scenario", pa.string()),
            _required("weather", pa.string()),
            _required("light", pa.string()),
            _required("scene", pa.string()),
            _required("duration_s", pa.float64()),
            _required("fps", pa.float64()),
            _required("num_frames", pa.int64()),
            _required("width_px", pa.int64()),
            _required("height_px", pa.int64()),
            _required("codec", pa.string()),
            pa.field("pre_crash_start_s", pa.float64()),
            pa.field("crash_start_s", pa.float64()),
            pa.field("crash_end_s", pa.float64()),
            pa.field("event_s", pa.float64()),
            pa.field("accident_type", pa.string()),
            pa.field("ego_involved", pa.bool_()),
            _required("agents", pa.list_(pa.string())),  # kinds of road users that the annotation knows
            pa.field("description", pa.string()),
            pa.field("cause", pa.string()),
            pa.field("prevention", pa.string()),
            pa.field("still", pa.string()),  # of a simulated image: JSON of `hazardline.native.StillTruth`
            pa.field("classification", pa.string()),  # of an annotated image: HazardNet's four fields as JSON
        ]
    ),
)
"""One usable clip a row, in the order of `clip_id`. Times are seconds from the first frame."""

QUARANTINE = Table(
    "quarantine@1",
    "quarantine.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("video", pa.string()),
            _required("reason", pa.string()),
            _required("detail", pa.string()),
        ]
    ),
)
"""One clip that cannot be used a row, with the reason (a fixed word) and what was found."""

ASSIGNMENT = Table(
    "assignment@1",
    "assignment.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),  # in its order
            _required("group_id", pa.string()),
            _required("split", pa.string()),  # train | validation | test
        ]
    ),
)

QA = Table(
    "qa@1",
    "qa.parquet",
    pa.schema(
        [
            _required("qa_id", pa.string()),  # <clip_id>/<task>
            _required("clip_id", pa.string()),  # in its order; within a clip in that of the suite's tasks
            _required("split", pa.string()),
            _required("task", pa.string()),
            _required("question", pa.string()),
            _required("answer", pa.string()),
            _required("is_positive", pa.bool_()),
            _required("annotator", pa.string()),
            _required("prompt_version", pa.string()),
        ]
    ),
)

RECORDS = Table(
    "records@1",
    "records.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("task", pa.string()),
            _required("question", pa.string()),
            _required("answer", pa.string()),  # of a topic of HazardQA: reasoning, then "Answer:" and the final answer
        ]
    ),
)
"""A question-answer pair that a data set was published with, word for word, a row, in the order of `clip_id`."""

REJECTED = Table(
    "rejected@1",
    "rejected.parquet",
    pa.schema([*QA.schema, _required("reason", pa.string()), _required("detail", pa.string())]),
)
"""A question-answer pair that validation refused a row, with the reason (a fixed word) and what was found."""

FAILED = Table(
    "failed@1",
    "failed.parquet",
    pa.schema(
        [
            _required("clip_id", pa.string()),
            _required("reason", pa.string()),
            _required("detail", pa.string()),
            _required("num_attempts", pa.int64()),
        ]
    ),
)
"""A clip that an annotator was asked about in vain a row, with the last attempt's reason."""

PREDICTIONS = Table(
    "predictions@1",
    "predictions.parquet",
    pa.schema(
        [
            _required("model", pa.string()),  # base | candidate | constant
            _required("clip_id", pa.string()),
            _required("task", pa.string()),
            _required("prediction", pa.string()),  # "" where the model gave no answer
            _required("asked", pa.bool_()),  # False: the second pass was not run because recognition said No
            _required("reference", pa.string()),
            pa.field("score", pa.float64()),  # recognition: log-odds of Yes against No at the first answer token
        ]
    ),
)
"""One answer a row, for every test question and every model."""

CLIP_SCORES = Table(
    "clip_scores@1",
    "clip_scores.parquet",
    pa.schema(
        [
            _required("model", pa.string()),
            _required("clip_id", pa.string()),
            _required("metric", pa.string()),
            _required("target", pa.float64()),  # recognition: 1 for a crash; else 1
            # recognition: the predicted class; AUC: the score; IoU, pre-crash: the clip's value
            _required("value", pa.float64()),
        ]
    ),
)
"""What each metric is computed from, a clip a row, so that two models can be compared clip by clip."""


class TableWriter:
    """Writes a table row by row in bounded memory; the file takes its name, whole, when the block ends well.

    The same rows give the same bytes, in whatever portions they come.

        with TableWriter(QA, folder) as writer:
            writer.write(row)
    """

    def __init__(self, table: Table, folder: Path, rows_per_group: int = ROWS_PER_GROUP) -> None:
        """Write `folder/<file_name>`.

        Args:
            table: the declared table.
            folder: where the file goes.
            rows_per_group: rows of a Parquet row group, and of what is held in memory as Arrow columns.
        """
        self.table, self.path = table, folder / table.file_name
        self.num_rows = 0
        self._rows_per_group = rows_per_group
        self._schema = table.schema.with_metadata({TABLE_NAME_KEY: table.name.encode()})
        self._names = set(table.schema.names)
        self._rows: list[dict[str, Any]] = []
        self._group: list[pa.Table] = []

    def __enter__(self) -> Self:
        self._whole = self._write_whole()
        self._whole.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._whole.__exit__(*error)

    @contextmanager
    def _write_whole(self) -> Iterator[None]:
        with atomic_stream(self.path) as stream:
            self._file = pq.ParquetWriter(stream, self._schema, compression="zstd")
            try:
                yield
                self._end_group(at_least_one=self.num_rows == 0)
                self._file.close()
            finally:
                self._file.is_open = False  # after an error: no footer for a file that nobody will see

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Raises:
            ValueError: it lacks a column or has an extra one. A value of another type or a forbidden null is found
                here or some rows later.
        """
        if row.keys() != self._names:
            raise ValueError(f"{self.table.name}: columns differ from the schema: {sorted(set(row) ^ self._names)}")
        self._rows.append(dict(row))
        self.num_rows += 1
        if len(self._rows) == _ROWS_PER_PORTION or self.num_rows % self._rows_per_group == 0:
            self._end_portion()
        if self.num_rows % self._rows_per_group == 0:
            self._end_group()

    def _end_portion(self) -> None:
        try:
            data = pa.Table.from_pylist(self._rows, schema=self._schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"{self.table.name}: {error}") from None
        for field in self.table.schema:
            if not field.nullable and data.column(field.name).null_count:
                raise ValueError(f"{self.table.name}: column {field.name} has a null")
        self._group.append(data)
        self._rows = []

    def _end_group(self, at_least_one: bool = False) -> None:
        if self._rows or at_least_one:
            self._end_portion()
        if self._group:
            # one chunk a column, so that the bytes do not tell in what portions the rows came
            self._file.write_table(pa.concat_tables(self._group).combine_chunks(), self._rows_per_group)
        self._group = []


def write_table(table: Table, folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Validate rows against the schema and write `folder/<file_name>` atomically; the same rows give the same bytes.

    Raises:
        ValueError: a row lacks a column, has an extra one, or a value of another type or a forbidden null.
    """
    with TableWriter(table, folder) as writer:
        for row in rows:
            writer.write(row)
    return writer.path


def write_batches(table: Table, folder: Path, batches: Iterable[pa.RecordBatch]) -> Path:
    """Write `folder/<file_name>` from stretches of rows, whole or not at all; only one stretch is in memory.

    Raises:
        ValueError: a stretch has other columns than the schema.
    """
    path = folder / table.file_name
    schema = table.schema.with_metadata({TABLE_NAME_KEY: table.name.encode()})
    with atomic_stream(path) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))
    return path


def read_rows(
    table: Table, folder: Path, columns: Sequence[str] | None = None, batch_rows: int = _ROWS_PER_PORTION
) -> Iterator[dict[str, Any]]:
    """Rows of `folder/<file_name>` as plain dicts, one at a time, in bounded memory.

    Args:
        table: the declared table.
        folder: where the file lies.
        columns: only these columns; all without it.
        batch_rows: rows that are decoded at once.

    Raises:
        UserError: the file is missing, is no Parquet file, or holds another table or version (at the call); it is
            damaged (when a row is asked for).
    """
    batches = read_batches(table, folder, table.schema.names if columns is None else columns, batch_rows)
    return (row for batch in batches for row in batch.to_pylist())


def read_batches(
    table: Table, folder: Path, columns: Sequence[str], batch_rows: int = ROWS_PER_GROUP
) -> Iterator[pa.RecordBatch]:
    """Some columns of `folder/<file_name>`, a stretch of rows at a time: no more than that is in memory.

    Args:
        table: the declared table.
        folder: where the file lies.
        columns: the columns wanted.
        batch_rows: rows of a stretch at most.

    Raises:
        UserError: the file is missing, is no Parquet file, or holds another table or version (at the call); it is
            damaged (when a stretch is asked for).
    """
    path = folder / table.file_name
    with damage_named(path, f"a {table.name} table"):
        schema = pq.read_schema(path)
    check_schema(table, path, schema)
    return batches_of(path, columns, batch_rows, f"a {table.name} table")


def batches_of(path: Path, columns: Sequence[str], batch_rows: int, what: str) -> Iterator[pa.RecordBatch]:
    """Some columns of any Parquet file, a stretch of rows at a time; `what` it should be stands in an error.

    Raises:
        UserError: it cannot be read.
    """
    with damage_named(path, what), pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        for batch in file.iter_batches(batch_rows, columns=list(columns), use_threads=False):
            batch.validate(full=True)
            yield batch


def count_rows(table: Table, folder: Path) -> int:
    """Number of rows of `folder/<file_name>`, from its footer; errors as `read_rows`."""
    path = folder / table.file_name
    with damage_named(path, f"a {table.name} table"):
        metadata = pq.read_metadata(path)
    return int(metadata.num_rows)


def read_table(table: Table, folder: Path) -> list[dict[str, Any]]:
    """Rows of `folder/<file_name>` as plain dicts.

    Raises:
        UserError: the file is missing, is no Parquet file, or holds another table or version.
    """
    path = folder / table.file_name
    with damage_named(path, f"a {table.name} table"):
        data = pq.read_table(path)
    check_schema(table, path, data.schema)
    rows: list[dict[str, Any]] = data.to_pylist()
    return rows


def check_schema(table: Table, path: Path, schema: pa.Schema) -> None:
    """Refuse a file that holds another table or version than the declared one.

    Raises:
        UserError: it does.
    """
    found = (schema.metadata or {}).get(TABLE_NAME_KEY, b"no hazardline table").decode()
    if found != table.name or not schema.remove_metadata().equals(table.schema):
        raise UserError(f"{path}: holds {found}, expected {table.name}; run the stage that makes it again")


@contextmanager
def damage_named(path: Path, what: str) -> Iterator[None]:
    """Turn what pyarrow says of a missing or damaged file into an error that names the file, and `what` it should be.

    Raises:
        UserError: it cannot be read.
    """
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: names that are no UTF-8
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read as {what} ({detail})") from None
