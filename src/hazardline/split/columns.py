"""What the split looks at of each clip, a column at a time: a million clips take some tens of megabytes.

Rows are numbered in the order of their ids, whatever the order of the file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hazardline.errors import UserError
from hazardline.recordings import is_shared
from hazardline.tables import ROWS_PER_GROUP, SCENES, read_batches

Batches = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
"""Some columns of the scenes table, a stretch of rows at a time, as often as one asks."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Coded:
    """A column of few different texts: codes (n, int32) into sorted names; -1 where there is none."""

    codes: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Clips:
    """The scenes table, as columns."""

    ids: pa.StringArray
    """Clip ids (n), sorted by their bytes, each once."""
    order: np.ndarray | None
    """Row of the file (n) for each row here; None where the file is sorted."""
    batches: Batches

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The scenes table of a folder.

        Raises:
            UserError: as `hazardline.tables.read_table`, or a clip id stands twice.
        """
        return cls._of(partial(read_batches, SCENES, folder))

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Rows in memory; for few clips."""
        names = SCENES.schema.names
        table = pa.Table.from_pylist([{name: row[name] for name in names} for row in rows], schema=SCENES.schema)
        return cls._of(lambda wanted: iter(table.select(list(wanted)).to_batches(ROWS_PER_GROUP)))

    @classmethod
    def _of(cls, batches: Batches) -> Self:
        chunks = [batch.column(0).cast(pa.string()) for batch in batches(["clip_id"])]
        ids = pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())
        order = None
        if not _is_increasing(ids):
            found = pc.sort_indices(ids)
            ids, order = ids.take(found), found.to_numpy().astype(np.int32)
            if not _is_increasing(ids):
                raise UserError(f"{SCENES.file_name}: a clip_id stands twice; run ingest again")
        return cls(ids, order, batches)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.ids)

    def coded(self, column: str) -> Coded:
        """A text column of few different values."""
        seen: dict[str | None, int] = {None: -1}
        codes = np.empty(len(self), np.int32)
        for start, texts, indices in self._encoded(column):
            own = np.array([seen.setdefault(text, len(seen) - 1) for text in texts], np.int32)
            codes[start : start + len(indices)] = np.where(indices < 0, -1, own[indices] if len(own) else -1)
        names = [name for name in seen if name is not None]
        rank = np.empty(len(names) + 1, np.int32)
        rank[np.array([*np.argsort(np.array(names, object)), len(names)], int)] = [*range(len(names)), -1]
        return Coded(self._in_order(rank[codes]), tuple(sorted(names)))

    def hashes(self, column: str, within_source: bool = False, or_clip_id: bool = False) -> np.ndarray:
        """64 bits (n, uint64) for every value of a text column, the same where the values are; 0 where there is none.

        Args:
            column: A column of the scenes table.
            within_source: Whether the same value in another source is another value. A value that names its own
                namespace (`hazardline.recordings`) is the same everywhere.
            or_clip_id: Whether a clip without a value has its own id as one.
        """
        values, is_own = np.zeros(len(self), np.uint64), np.ones(len(self), bool)
        for name in (column, "clip_id") if or_clip_id else (column,):
            for start, texts, indices in self._encoded(name):
                part = slice(start, start + len(indices))
                own = np.array([hash_text(text) for text in texts] + [0], np.uint64)[indices]  # -1, none: the last
                is_global = np.array([is_shared(text) for text in texts] + [True])[indices]
                is_own[part] = np.where(values[part] == 0, is_global, is_own[part])
                values[part] = np.where(values[part] == 0, own, values[part])
        if within_source:
            for start, texts, indices in self._encoded("source"):
                own = np.array([hash_text(text) for text in texts], np.uint64)[indices] * _ODD
                part = slice(start, start + len(indices))
                values[part] = np.where(is_own[part], values[part], (values[part] ^ own) | np.uint64(1))
        return self._in_order(values)

    def at(self, columns: Sequence[str], rows: np.ndarray) -> list[dict[str, Any]]:
        """Some columns of some rows (k), as plain dicts in the order of the rows."""
        return take_rows(self.batches, columns, rows if self.order is None else self.order[rows])

    def rows_of(self, clip_ids: Sequence[str]) -> np.ndarray:
        """Row (k, int64) of each of a few clips.

        Raises:
            KeyError: no such clip.
        """
        wanted = list(dict.fromkeys(clip_ids))
        places = pc.index_in(self.ids, value_set=pa.array(wanted, pa.string()))
        rows = np.flatnonzero(~places.is_null().to_numpy(zero_copy_only=False))
        found = dict(zip((wanted[k] for k in places.take(pa.array(rows)).to_pylist()), rows.tolist(), strict=True))
        return np.array([found[clip_id] for clip_id in clip_ids], np.int64)

    def rows_of_file(self) -> np.ndarray:
        """Row here (n, int32) of each row of the file."""
        if self.order is None:
            return np.arange(len(self), dtype=np.int32)
        inverse = np.empty(len(self), np.int32)
        inverse[self.order] = np.arange(len(self), dtype=np.int32)
        return inverse

    def _encoded(self, column: str) -> Iterator[tuple[int, list[str], np.ndarray]]:
        """Stretches of the file: first row, different texts, and the index of each row's text (-1: none)."""
        start = 0
        for batch in self.batches([column]):
            encoded = batch.column(0).dictionary_encode()
            indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            yield start, encoded.dictionary.to_pylist(), indices
            start += len(batch)

    def _in_order(self, values: np.ndarray) -> np.ndarray:
        return values if self.order is None else values[self.order]


def take_rows(batches: Batches, columns: Sequence[str], rows: np.ndarray) -> list[dict[str, Any]]:
    """Some columns of some rows (k) of a file, as plain dicts in the order asked for; empty for rows beyond its end."""
    place = np.argsort(rows, kind="stable")
    ascending = rows[place]
    found: list[dict[str, Any]] = []
    start = 0
    for batch in batches(columns):
        low, high = np.searchsorted(ascending, [start, start + len(batch)])
        if high > low:
            found += batch.take(pa.array(ascending[low:high] - start)).to_pylist()
        start += len(batch)
    result: list[dict[str, Any]] = [{}] * len(rows)
    for index, row in zip(place.tolist(), found, strict=False):
        result[index] = row
    return result


def hash_text(text: str) -> int:
    """64 bits of a text, never 0."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) or 1


def _is_increasing(ids: pa.StringArray) -> bool:
    return len(ids) < 2 or bool(pc.all(pc.less(ids[:-1], ids[1:])).as_py())
