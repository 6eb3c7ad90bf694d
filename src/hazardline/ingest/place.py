"""Where the files of a data set lie: a local folder. Adapters ask here, so that they know nothing of the storage."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from hazardline.errors import UserError
from hazardline.files import path_inside


class Place(Protocol):
    """The root of a data set."""

    @property
    def name(self) -> str:
        """The root as messages show it."""

    def file(self, relative: str) -> Path | None:
        """An annotation file as a local file, or None where there is none of that name.

        Raises:
            UserError: it leads out of the root, or cannot be had.
        """

    def find(self, pattern: str) -> Iterator[str]:
        """Names, relative to the root and in their order, of the files that match a pattern.

        `*` and `?` stand for characters of one name, `**/` for any number of folders. Links are not followed.
        """


class LocalPlace:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        """Take a folder, which must exist."""
        self.root = root.resolve()

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.root)

    def file(self, relative: str) -> Path | None:
        """As `Place.file`."""
        try:
            path = path_inside(self.root, relative)
            if path is None:
                raise UserError(f"{self.root / relative}: leads out of the data set's folder; put a copy inside")
            return path if path.is_file() else None
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, a null character, a loop of links
            raise UserError(f"{self.root}: {relative!r} is no usable path ({error})") from None

    def find(self, pattern: str) -> Iterator[str]:
        """As `Place.find`; a folder at a time is held in memory."""
        matches = pattern_matcher(pattern)
        return (name for name in _files_below(self.root, "") if matches.fullmatch(name))


def _files_below(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from None
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _files_below(folder / entry.name, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield prefix + entry.name


def pattern_matcher(pattern: str) -> re.Pattern[str]:
    """A pattern of `Place.find` as a regular expression over whole relative names."""
    parts = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*|\?)", pattern)
    return re.compile("".join(parts.get(piece) or re.escape(piece) for piece in pieces), re.DOTALL)
