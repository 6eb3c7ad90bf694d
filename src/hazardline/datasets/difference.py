"""What changed between two versions of a data set: two tables in the order of `clip_id`, walked side by side."""

from collections.abc import Iterator, Mapping
from typing import Any

from hazardline.datasets.document import Changes

Row = Mapping[str, Any]


def changes_between(before: Iterator[Row], after: Iterator[Row]) -> Changes:
    """Count added, changed, removed and unchanged clips.

    Args:
        before: rows of the parent's scenes in the order of `clip_id`.
        after: rows of the new scenes, likewise.
    """
    added = changed = removed = unchanged = 0
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if old is None or (new is not None and new["clip_id"] < old["clip_id"]):
            added += 1
            new = next(after, None)
        elif new is None or old["clip_id"] < new["clip_id"]:
            removed += 1
            old = next(before, None)
        else:
            same = placeless(old) == placeless(new)
            unchanged += same
            changed += not same
            old, new = next(before, None), next(after, None)
    return Changes(num_added=added, num_changed=changed, num_removed=removed, num_unchanged=unchanged)


def placeless(row: Row) -> dict[str, Any]:
    """A scene without the place of its file: a data set that was moved is the same data set."""
    return {key: value for key, value in row.items() if key != "video_uri"}
