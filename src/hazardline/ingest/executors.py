"""Examines many clips at once: in processes of this machine, or by Ray Data on this machine or a cluster.

Both give the same results; either way each clip is looked at in a process that may die or hang without harm to the
others. What was found is kept at once, so that a run that is killed goes on where it was.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from hazardline.ingest.examine import Bench, Examined, examine, lost
from hazardline.ingest.place import Media
from hazardline.ingest.pool import Lost, run_isolated
from hazardline.ingest.work import Pending

Executor = Callable[[Iterator[Pending]], Iterator[tuple[int, Examined]]]
"""Media in, what became of them out, in the order of completion."""

_BATCH_CLIPS = 32
_TODO_ROWS = 4096
_TEXTS = [(name, pa.string()) for name in ("kind", "where", "stamp", "sha256")]
_MEDIA = pa.struct([*_TEXTS, ("fps", pa.float64())])
_TODO = pa.schema([("number", pa.int64()), ("media", _MEDIA)])
_FOUND = pa.schema([("number", pa.int64()), ("examined", pa.string())])
_EXAMINED = TypeAdapter(Examined)


def executor_named(
    name: Literal["processes", "ray"], bench: Bench, num_workers: int, timeout_s: float, folder: Path
) -> Executor:
    """The executor of a recipe.

    Args:
        name: of the executor.
        bench: what the examining processes are given.
        num_workers: clips that are examined at a time.
        timeout_s: what one clip may take.
        folder: for Ray's list of what is to be done.
    """
    if name == "processes":
        return partial(in_processes, bench=bench, num_workers=num_workers, timeout_s=timeout_s)
    return partial(on_ray, bench=bench, num_workers=num_workers, timeout_s=timeout_s, folder=folder)


def in_processes(
    pending: Iterator[Pending], bench: Bench, num_workers: int, timeout_s: float
) -> Iterator[tuple[int, Examined]]:
    """In a few processes of this machine."""
    numbers: dict[int, int] = {}

    def media() -> Iterator[Media]:
        for index, item in enumerate(pending):
            numbers[index] = item.number
            yield item.media

    for index, found in run_isolated(partial(examine, bench), media(), num_workers, timeout_s, bench.prepare):
        yield numbers.pop(index), _or_lost(found)


def on_ray(
    pending: Iterator[Pending], bench: Bench, num_workers: int, timeout_s: float, folder: Path
) -> Iterator[tuple[int, Examined]]:
    """By Ray Data, on the cluster that this process is joined to or on this machine alone."""
    import ray

    todo = folder / "todo.parquet"
    if not _write_todo(pending, todo):
        return
    rows = ray.data.read_parquet(str(todo), override_num_blocks=max(1, pq.read_metadata(todo).num_rows // _BATCH_CLIPS))
    results = rows.map_batches(
        _Examiner,
        fn_constructor_args=(replace(bench, known=None), timeout_s),  # SQLite is of this machine alone
        batch_size=_BATCH_CLIPS,
        batch_format="pyarrow",
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=num_workers),
    )
    for row in results.iter_rows():
        yield row["number"], _EXAMINED.validate_json(row["examined"])


def _write_todo(pending: Iterator[Pending], path: Path) -> int:
    """A Parquet file of what is to be done; its number of rows."""
    total, rows = 0, []
    with pq.ParquetWriter(path, _TODO) as writer:
        for item in pending:
            rows.append({"number": item.number, "media": asdict(item.media)})
            if len(rows) == _TODO_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, _TODO))
                total, rows = total + len(rows), []
        writer.write_table(pa.Table.from_pylist(rows, _TODO))
    return total + len(rows)


class _Examiner:
    """An actor of Ray Data: examines batches, each clip in a process of its own kind."""

    def __init__(self, bench: Bench, timeout_s: float) -> None:
        self._bench, self._timeout_s = bench, timeout_s

    def __call__(self, batch: pa.Table) -> pa.Table:
        items = [Pending(row["number"], Media(**row["media"])) for row in batch.to_pylist()]
        found = in_processes(iter(items), self._bench, 1, self._timeout_s)
        rows = [{"number": number, "examined": _EXAMINED.dump_json(examined).decode()} for number, examined in found]
        return pa.Table.from_pylist(rows, _FOUND)


def _or_lost(found: Examined | Lost) -> Examined:
    if isinstance(found, Lost):
        return lost(found.detail)
    return found
