"""Tables by columns, a stretch of rows at a time: for what looks at a few columns of a million rows."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.errors import UserError
from hazardline.files import atomic_stream
from hazardline.tables import ROWS_PER_GROUP, TABLE_NAME_KEY, Table, check_schema


def read_batches(table: Table, folder: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of `folder/<file_name>`, `ROWS_PER_GROUP` rows at a time: no more than that is in memory.

    Raises:
        UserError: the file is missing, is no Parquet file, or holds another table or version.
    """
    path = folder / table.file_name
    try:
        with pq.ParquetFile(path) as file:
            check_schema(table, path, file.schema_arrow)
            for number in range(file.num_row_groups):  # all groups at once would be read ahead, and held
                yield from file.iter_batches(ROWS_PER_GROUP, row_groups=[number], columns=list(names))
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as a {table.name} table ({error})") from None


def read_columns(table: Table, folder: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of `folder/<file_name>`, whole; errors as `read_batches`."""
    schema = pa.schema([table.schema.field(name) for name in names])
    return pa.Table.from_batches([batch.cast(schema) for batch in read_batches(table, folder, names)], schema)


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
