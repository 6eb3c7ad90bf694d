"""The Parquet tables that pass between stages: their schemas, and the one way to write and to read them.

A table file carries its name and version in the Parquet metadata; a reader refuses any other.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.errors import UserError
from hazardline.files import write_atomic

_NAME_KEY = b"hazardline.table"
_ROW_GROUP = 16_384
"""Rows that a reader must hold at least."""


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
            _required("clip_id", pa.string()),
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
            _required("clip_id", pa.string()),
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
            _required(
                "value", pa.float64()
            ),  # recognition: the predicted class; AUC: the score; IoU, pre-crash: the clip's value
        ]
    ),
)
"""What each metric is computed from, a clip a row, so that two models can be compared clip by clip."""


def write_table(table: Table, folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Validate rows against the schema and write `folder/<file_name>` atomically; the same rows give the same bytes.

    Raises:
        ValueError: a row lacks a column, has an extra one, or a value of another type or a forbidden null.
    """
    rows = list(rows)
    names = set(table.schema.names)
    for row in rows:
        if set(row) != names:
            raise ValueError(f"{table.name}: columns differ from the schema: {sorted(set(row) ^ names)}")
    try:
        data = pa.Table.from_pylist([dict(row) for row in rows], schema=table.schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{table.name}: {error}") from None
    for field in table.schema:
        if not field.nullable and data.column(field.name).null_count:
            raise ValueError(f"{table.name}: column {field.name} has a null")
    data = data.replace_schema_metadata({_NAME_KEY: table.name.encode()})
    sink = io.BytesIO()
    pq.write_table(data, sink, compression="zstd", row_group_size=_ROW_GROUP)
    path = folder / table.file_name
    write_atomic(path, sink.getvalue())
    return path


def read_table(table: Table, folder: Path) -> list[dict[str, Any]]:
    """Rows of `folder/<file_name>` as plain dicts.

    Raises:
        UserError: the file is missing, is no Parquet file, or holds another table or version.
    """
    path = folder / table.file_name
    try:
        data = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(table, path, error) from None
    _check_schema(table, path, data.schema)
    rows: list[dict[str, Any]] = data.to_pylist()
    return rows


def read_batches(table: Table, folder: Path, num_rows: int) -> Iterator[pa.RecordBatch]:
    """Up to so many rows of `folder/<file_name>` at a time, without holding the others.

    Raises:
        UserError: as `read_table`.
    """
    path = folder / table.file_name
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_schema(table, path, file.schema_arrow)
            for group in range(file.num_row_groups):  # pyarrow reads ahead through all the groups that it is given
                yield from file.iter_batches(num_rows, row_groups=[group])
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(table, path, error) from None


def _unreadable(table: Table, path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: cannot be read as a {table.name} table ({error})")


def _check_schema(table: Table, path: Path, schema: pa.Schema) -> None:
    found = (schema.metadata or {}).get(_NAME_KEY, b"no hazardline table").decode()
    if found != table.name or not schema.remove_metadata().equals(table.schema):
        raise UserError(f"{path}: holds {found}, expected {table.name}; run the stage that makes it again")
