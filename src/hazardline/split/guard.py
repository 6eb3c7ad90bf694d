"""Refuses an assignment that leaks: clips that belong together in different splits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hazardline.errors import UserError
from hazardline.split.assign import SPLITS
from hazardline.split.groups import Neighbours

_SHOWN = 10


def check_assignment(
    scenes: Sequence[Mapping[str, Any]],
    assignment: Sequence[Mapping[str, Any]],
    neighbours: Iterable[Neighbours],
) -> None:
    """Every clip has one known split, and no pair, recording, group, copy or near-duplicate stands in two.

    It looks at the rows alone, whoever made them.

    Raises:
        UserError: names the first offenders of every kind.
    """
    splits: dict[str, str] = {}
    faults: list[str] = []
    for row in assignment:
        if row["clip_id"] in splits:
            faults.append(f"clip {row['clip_id']!r} is assigned twice")
        if row["split"] not in SPLITS:
            faults.append(f"clip {row['clip_id']!r}: split {row['split']!r} is none of {', '.join(SPLITS)}")
        splits[row["clip_id"]] = row["split"]
    known = {row["clip_id"] for row in scenes}
    faults += [f"clip {clip_id!r} is not assigned" for clip_id in sorted(known - set(splits))]
    faults += [f"clip {clip_id!r} is assigned but no scene" for clip_id in sorted(set(splits) - known)]
    if not faults:
        faults = [*_torn(scenes, assignment, splits), *_torn_neighbours(neighbours, splits)]
    if faults:
        more = f"\n  ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(
            f"split: the assignment leaks ({len(faults)} faults); clips that belong together must share a split:\n  "
            + "\n  ".join(faults[:_SHOWN])
            + more
        )


def _torn(
    scenes: Sequence[Mapping[str, Any]], assignment: Sequence[Mapping[str, Any]], splits: Mapping[str, str]
) -> list[str]:
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in scenes:
        for column in ("pair_id", "recording_id"):
            if row[column] is not None:
                together[column, f"{row['source']}: {row[column]}"].append(row["clip_id"])
        together["sha256", row["sha256"]].append(row["clip_id"])
    for row in assignment:
        together["group_id", row["group_id"]].append(row["clip_id"])
    faults = []
    for (column, value), clip_ids in sorted(together.items()):
        used = sorted({splits[clip_id] for clip_id in clip_ids})
        if len(used) > 1:
            faults.append(f"{column} {value!r} stands in {' and '.join(used)}: clips {', '.join(sorted(clip_ids))}")
    return faults


def _torn_neighbours(neighbours: Iterable[Neighbours], splits: Mapping[str, str]) -> list[str]:
    return [
        f"near-duplicates {pair.first!r} ({splits[pair.first]}) and {pair.second!r} ({splits[pair.second]}), "
        f"{pair.distance:.0%} of the bits apart"
        for pair in neighbours
        if splits[pair.first] != splits[pair.second]
    ]
