"""Parquet tables read some columns and some thousand rows at a time, so that a version of any size fits in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hazardline.errors import UserError
from hazardline.tables import Table

BATCH_ROWS = 8_192
_NAME_KEY = b"hazardline.table"
_READ_BYTES = 1 << 20
"""Column chunks are read in pieces of this size, since a row group may hold a whole version. Without `pre_buffer=False`
pyarrow reads whole chunks ahead all the same."""


def read_batches(table: Table, folder: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of `folder/<file_name>`, in the order of the file.

    Raises:
        UserError: the file is missing, is no Parquet file, is damaged, or holds another table or version.
    """
    path = folder / table.file_name
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the output folder of `hazardline ingest`")
    with _damage_is_the_users(path):
        file = pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)
    with file:
        schema = file.schema_arrow
        found = (schema.metadata or {}).get(_NAME_KEY, b"no hazardline table").decode(errors="replace")
        if found != table.name or not schema.remove_metadata().equals(table.schema):
            raise UserError(f"{path}: holds {found}, expected {table.name}; run the stage that makes it again")
        yield from _batches(file, path, columns)


def read_vectors(path: Path, wanted: Sequence[str]) -> dict[str, list[float]]:
    """Vectors of some clips from a Parquet file with the columns `clip_id` (string) and `vector` (list of floats).

    Raises:
        UserError: missing, damaged, other columns, or a wanted clip has none or two.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a Parquet file with the columns clip_id and vector")
    with _damage_is_the_users(path):
        file = pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)
    with file:
        _check_vector_columns(path, file.schema_arrow)
        found = pick(_batches(file, path, ("clip_id", "vector")), wanted, str(path))
    return {clip_id: row["vector"] for clip_id, row in found.items()}


def pick(batches: Iterator[pa.RecordBatch], wanted: Sequence[str], name: str) -> dict[str, dict[str, Any]]:
    """The rows of some clips, by `clip_id`.

    Raises:
        UserError: a clip is missing, or stands there twice.
    """
    ids = pa.array(wanted, pa.string())
    found: dict[str, dict[str, Any]] = {}
    for batch in batches:
        for row in batch.filter(pc.is_in(batch.column("clip_id"), ids)).to_pylist():
            if row["clip_id"] in found:
                raise UserError(f"{name}: clip {row['clip_id']!r} stands there twice; a clip has one row")
            found[row["clip_id"]] = row
    missing = [clip_id for clip_id in wanted if clip_id not in found]
    if missing:
        raise UserError(
            f"{name}: {len(missing)} of {len(wanted)} clips are not in it, the first is {missing[0]!r}; it must have a "
            "row for every clip of the scenes table: make it again from the same version"
        )
    return found


def _batches(file: pq.ParquetFile, path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False)
    while True:
        with _damage_is_the_users(path):
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
        yield batch


def _check_vector_columns(path: Path, schema: pa.Schema) -> None:
    kinds = {field.name: field.type for field in schema}
    vector = kinds.get("vector", pa.null())
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    holds_floats = any(is_kind(vector) for is_kind in lists) and pa.types.is_floating(vector.value_type)
    if kinds.get("clip_id") != pa.string() or not holds_floats:
        raise UserError(
            f"{path}: has the columns {', '.join(f'{f.name} ({f.type})' for f in schema)}; expected clip_id (string) "
            "and vector (list of floats)"
        )


class _damage_is_the_users:
    """Turns what pyarrow says of a damaged file into an error that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | pa.ArrowException):  # ValueError: names that are no UTF-8
            detail = " ".join(str(error).split())[:200]
            raise UserError(f"{self._path}: cannot be read as a Parquet table ({detail})") from None
