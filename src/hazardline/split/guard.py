"""Refuses an assignment that leaks: clips that belong together in different splits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hazardline.errors import UserError
from hazardline.split.assign import SPLITS
from hazardline.split.columns import Clips, hash_text
from hazardline.split.config import GroupKey
from hazardline.split.groups import DEFAULT_KEYS, KEY_COLUMNS, Neighbours, key_hashes

_SHOWN = 10
Name = Callable[[int], str]
"""What a value is called, of a row that has it."""


def check_assignment(
    clips: Clips,
    assignment: Iterable[pa.RecordBatch],
    neighbours: Iterable[Neighbours],
    by: Sequence[GroupKey] = DEFAULT_KEYS,
    may_be_torn: np.ndarray | None = None,
) -> None:
    """Every clip has one known split, and no group, copy, near-duplicate or value of a key stands in two.

    It looks at the rows alone, whoever made them.

    Args:
        clips: The scenes.
        assignment: Rows of the assignment table, in any order; it is gone through more than once.
        neighbours: Near duplicates.
        by: The keys that clips must not be parted by.
        may_be_torn: Clips (n, bool) for which that does not hold (`hazardline.split.published.torn_on_purpose`).

    Raises:
        UserError: names the first offenders of every kind.
    """
    splits = np.full(len(clips), -1, np.int8)
    groups = np.zeros(len(clips), np.uint64)
    faults: list[str] = []
    start = 0
    for batch in assignment:
        rows = _rows(clips, batch.column("clip_id"), start, faults)
        start += len(batch)
        named = [SPLITS.index(name) if name in SPLITS else -2 for name in batch.column("split").to_pylist()]
        for index in np.flatnonzero(np.array(named, int) == -2).tolist():
            row = batch.slice(index, 1).to_pylist()[0]
            faults.append(f"clip {row['clip_id']!r}: split {row['split']!r} is none of {', '.join(SPLITS)}")
        known = rows >= 0
        faults += _twice(clips, rows[known], splits)
        splits[rows[known]] = np.array(named, np.int8)[known]
        groups[rows[known]] = np.array([hash_text(name) for name in batch.column("group_id").to_pylist()], np.uint64)[
            known
        ]
    missing = np.flatnonzero(splits == -1)
    faults += [f"clip {clip_id!r} is not assigned" for clip_id in clips.ids.take(pa.array(missing)).to_pylist()]
    if not faults:
        held = np.ones(len(clips), bool) if may_be_torn is None else ~may_be_torn
        for key in by:
            column = KEY_COLUMNS[key]
            faults += _torn(clips, column, key_hashes(clips, key) * held, splits, partial(_name_of, clips, column))
        faults += _torn(clips, "sha256", clips.hashes("sha256") * held, splits, partial(_name_of, clips, "sha256"))
        faults += _torn(clips, "group_id", groups * held, splits, partial(_group_of, clips, assignment))
        faults += _torn_neighbours(clips, list(neighbours), splits, held)
    if faults:
        more = f"\n  ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(
            f"split: the assignment leaks ({len(faults)} faults); clips that belong together must share a split:\n  "
            + "\n  ".join(faults[:_SHOWN])
            + more
        )


def _rows(clips: Clips, ids: pa.StringArray, start: int, faults: list[str]) -> np.ndarray:
    """Row of every clip of a stretch; -1, and a fault, for what is no scene."""
    stop = start + len(ids)
    if stop <= len(clips) and pc.all(pc.equal(ids, clips.ids[start:stop])).as_py():
        return np.arange(start, stop)
    found = pc.index_in(ids, value_set=clips.ids).fill_null(-1).to_numpy(zero_copy_only=False)
    unknown = ids.take(pa.array(np.flatnonzero(found < 0))).to_pylist()
    faults += [f"clip {clip_id!r} is assigned but no scene" for clip_id in unknown]
    return np.asarray(found)


def _twice(clips: Clips, rows: np.ndarray, splits: np.ndarray) -> list[str]:
    values, counts = np.unique(rows, return_counts=True)
    again = values[(counts > 1) | (splits[values] != -1)]
    return [f"clip {clip_id!r} is assigned twice" for clip_id in clips.ids.take(pa.array(again)).to_pylist()]


def _torn(clips: Clips, column: str, hashes: np.ndarray, splits: np.ndarray, name: Name) -> list[str]:
    """A fault for every value of a column whose clips stand in more than one split; the first ones in full."""
    order = np.argsort(hashes, kind="stable")
    values, found = hashes[order], splits[order]
    parted = np.unique(values[1:][(values[1:] == values[:-1]) & (found[1:] != found[:-1]) & (values[1:] != 0)])
    faults = []
    for number, value in enumerate(parted):
        if number >= _SHOWN:
            faults.append(f"{column} stands in several splits")
            continue
        rows = np.sort(order[np.searchsorted(values, value, "left") : np.searchsorted(values, value, "right")])
        used = " and ".join(sorted({SPLITS[split] for split in splits[rows].tolist()}))
        ids = clips.ids.take(pa.array(rows)).to_pylist()
        faults.append(f"{column} {name(int(rows[0]))!r} stands in {used}: clips {_listed(ids)}")
    return faults


def _name_of(clips: Clips, column: str, row: int) -> str:
    found = clips.at(["source", "clip_id", column], np.array([row]))[0]
    return str(found[column]) if column == "sha256" else f"{found['source']}: {found[column] or found['clip_id']}"


def _group_of(clips: Clips, assignment: Iterable[pa.RecordBatch], row: int) -> str:
    clip_id = clips.ids[row].as_py()
    rows = (batch.slice(batch.column("clip_id").index(clip_id).as_py(), 1) for batch in assignment)
    return str(next(found.column("group_id")[0].as_py() for found in rows if len(found)))


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")


def _torn_neighbours(
    clips: Clips, neighbours: Sequence[Neighbours], splits: np.ndarray, held: np.ndarray
) -> Iterator[str]:
    if not neighbours:
        return
    rows = clips.rows_of([clip_id for pair in neighbours for clip_id in (pair.first, pair.second)]).reshape(-1, 2)
    are_held = held[rows].any(1).tolist()
    for pair, (first, second), is_held in zip(neighbours, splits[rows].tolist(), are_held, strict=True):
        if first != second and is_held:
            yield (
                f"near-duplicates {pair.first!r} ({SPLITS[first]}) and {pair.second!r} ({SPLITS[second]}), "
                f"{pair.distance:.0%} of the bits apart"
            )
