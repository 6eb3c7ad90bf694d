"""Tables clip by clip: stages write them in the order of `clip_id`, so that one pass in bounded memory joins them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hazardline.errors import UserError
from hazardline.tables import Table, read_rows

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A table that takes part in a join.

    Attributes:
        stage: whose output folder holds it.
        table: the declared table; it has a column `clip_id`.
        columns: only these columns, `clip_id` among them; all without it.
        is_unique: a clip has one row at most.
    """

    stage: str
    table: Table
    columns: tuple[str, ...] | None = None
    is_unique: bool = False


def by_clip(inputs: Mapping[str, Path], parts: Sequence[Part]) -> Iterator[tuple[str, tuple[list[Row], ...]]]:
    """Each clip that stands in any of the tables with its rows of every one, in the order of `clip_id`.

    Args:
        inputs: output folders by stage.
        parts: the tables; a clip's rows come in the same order, an empty list where a table does not hold it.

    Raises:
        UserError: a table cannot be read, or is not in the order of `clip_id`.
    """
    streams = [_in_order(part, inputs[part.stage], place) for place, part in enumerate(parts)]
    for clip_id, members in groupby(merge(*streams, key=itemgetter(0)), key=itemgetter(0)):
        rows: tuple[list[Row], ...] = tuple([] for _ in parts)
        for _, place, row in members:
            rows[place].append(row)
        yield clip_id, rows


def _in_order(part: Part, folder: Path, place: int) -> Iterator[tuple[str, int, Row]]:
    before: str | None = None
    for row in read_rows(part.table, folder, part.columns):
        clip_id: str = row["clip_id"]
        if before is not None and (clip_id < before or (part.is_unique and clip_id == before)):
            raise UserError(
                f"{folder / part.table.file_name}: {clip_id} stands behind {before}; expected the order of clip_id, "
                f"run {part.stage} again"
            )
        before = clip_id
        yield clip_id, place, row


def rows_of(batches: Iterable[pa.RecordBatch], clip_ids: Collection[str]) -> Iterator[Row]:
    """The rows of a few clips, in the order of the table.

    Args:
        batches: stretches of a table with a column `clip_id` (`hazardline.tables.read_batches`).
        clip_ids: of the clips wanted.
    """
    wanted = pa.array(clip_ids, pa.string())
    for batch in batches:
        yield from batch.filter(pc.is_in(batch.column("clip_id"), wanted)).to_pylist()
