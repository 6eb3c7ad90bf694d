"""Rows of a Parquet file that may be hostile, some columns at a time, a few rows in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.errors import UserError

MAX_GROUP_BYTES = 1 << 30
"""Of one row group, unpacked; the hub writes a hundred images a group."""
_BATCH_ROWS = 64


def column_names(path: Path, what: str) -> list[str]:
    """The columns of a file.

    Raises:
        UserError: it is no Parquet file.
    """
    with _opened(path, what) as file:
        try:
            return list(file.schema_arrow.names)
        except ValueError as error:
            raise UserError(f"{path}: not readable as Parquet ({_line(error)}); expected {what}") from None


def read_rows(path: Path, columns: Sequence[str], what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows as plain data, numbered from 0.

    Args:
        path: the file.
        columns: those to read; they must be there (`column_names`).
        what: what the file should be, for messages.

    Raises:
        UserError: it is no Parquet file, is damaged, or has a row group of more than `MAX_GROUP_BYTES`.
    """
    number = 0
    with _opened(path, what) as file:
        _check_size(file, path)
        batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns))
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
                raise UserError(f"{path}: damaged behind row {number} ({_line(error)}); get the file again") from None
            if batch is None:
                return
            for row in rows:
                yield number, row
                number += 1


def _opened(path: Path, what: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as Parquet ({_line(error)}); expected {what}") from None


def _check_size(file: pq.ParquetFile, path: Path) -> None:
    """By row groups: asking pyarrow for the size of a damaged column ends the process."""
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).total_byte_size
        if size > MAX_GROUP_BYTES:
            raise UserError(
                f"{path}: row group {group} unpacks to {size} bytes, expected at most {MAX_GROUP_BYTES}; write the "
                "file again with smaller row groups"
            )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
