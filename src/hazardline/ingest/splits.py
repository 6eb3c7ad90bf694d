"""The split that a data set names in the names of its own files."""

import re
from pathlib import PurePosixPath
from typing import Literal

Split = Literal["train", "validation", "test"]

_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> Split | None:
    """`data/total_crash_recognition_val.json` is validation; a folder's name counts where the file's says nothing."""
    for part in reversed(PurePosixPath(name).parts):
        words = re.split(r"[^a-z]+", part.lower())
        found = {_NAMES[word] for word in words if word in _NAMES}
        if len(found) == 1:
            return found.pop()
    return None
