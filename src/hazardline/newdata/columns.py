"""The rows and vectors of some clips, picked from tables of any size."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.by_clip import rows_of
from hazardline.errors import UserError
from hazardline.tables import batches_of, damage_named

BATCH_ROWS = 8_192
_VECTORS = "a Parquet table with the columns clip_id and vector"


def read_vectors(path: Path, wanted: Sequence[str]) -> dict[str, list[float]]:
    """Vectors of some clips from a Parquet file with the columns `clip_id` (string) and `vector` (list of floats).

    Raises:
        UserError: missing, damaged, other columns, or a wanted clip has none or two.
    """
    with damage_named(path, _VECTORS):
        schema = pq.read_schema(path)
    _check_vector_columns(path, schema)
    found = pick(batches_of(path, ("clip_id", "vector"), BATCH_ROWS, _VECTORS), wanted, str(path))
    return {clip_id: row["vector"] for clip_id, row in found.items()}


def pick(batches: Iterator[pa.RecordBatch], wanted: Sequence[str], name: str) -> dict[str, dict[str, Any]]:
    """The rows of some clips, by `clip_id`.

    Raises:
        UserError: a clip is missing, or stands there twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows_of(batches, wanted):
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
