"""Where the files of a data set lie. Adapters ask here, so that they know nothing of the storage.

A place hands out annotation files as local files, and says of a clip's media what an examining process needs to get at
it; it reads no media itself.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from hazardline.errors import UserError
from hazardline.file_digests import stamp_of
from hazardline.files import digest_json, path_inside
from hazardline.ingest.frame_folder import FRAME_SUFFIXES, FrameFolderError, in_order, is_frame
from hazardline.ingest.reason import Reason

_MEDIA_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".ts", ".mpg", ".mpeg", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Media:
    """A clip's file, or its folder of frames, before anything of it is read."""

    kind: Literal["file", "frames", "s3", "s3_frames"]
    where: str
    """Absolute path, or `s3://bucket/key` (of frames: the prefix, with its slash)."""
    stamp: str
    """Changes when the media change."""
    fps: float | None = None
    """Of frames."""
    sha256: str | None = None
    """Of a file, where its stamp proves it."""

    @property
    def key(self) -> str:
        """What it is known by: the same frames at another rate are another clip."""
        return self.where if self.fps is None else f"{self.where} at {self.fps}"

    @property
    def suffix(self) -> str:
        """Of the file that the store keeps of it."""
        if self.kind in ("frames", "s3_frames"):
            return ".mov"
        suffix = PurePosixPath(self.where).suffix.lower()
        return suffix if suffix in _MEDIA_SUFFIXES else ""


class NoMediaError(Exception):
    """A clip has no media that could be examined: `reason` is the word for the quarantine table."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the parts."""
        super().__init__(detail)
        self.reason, self.detail = reason, detail


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

    def media(self, relative: str, fps: float | None) -> Media:
        """The file or folder of frames that an annotation names.

        Raises:
            NoMediaError: it leads out of the root, is not there, or is a folder that cannot be a clip.
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

    def media(self, relative: str, fps: float | None) -> Media:
        """As `Place.media`. A link counts as what it leads to, where that is inside the root."""
        try:
            path = path_inside(self.root, relative)
            if path is None:
                raise NoMediaError("path_outside_root", f"{relative!r} leads out of the data set's folder")
            if path.is_file():
                return Media("file", str(path), stamp_of(path.stat()))
            if path.is_dir():
                return self._frames(path, relative, fps)
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, a null character, a loop of links
            raise NoMediaError("missing_file", f"{relative!r} is no usable path ({error})") from None
        raise NoMediaError("missing_file", f"there is no file {relative!r}")

    def _frames(self, folder: Path, relative: str, fps: float | None) -> Media:
        with os.scandir(folder) as entries:
            found = {entry.name: entry for entry in entries if entry.is_file() and is_frame(entry.name)}
        if not found:
            raise NoMediaError("missing_file", f"{relative!r} is a folder without frames ({', '.join(FRAME_SUFFIXES)})")
        if fps is None:
            raise NoMediaError("unknown_rate", f"{relative!r} is a folder of frames of unknown frames a second")
        try:
            names = in_order(list(found))
        except FrameFolderError as error:
            raise NoMediaError(error.reason, f"{relative!r}: {error.detail}") from None
        for name in names:
            if found[name].is_symlink() and path_inside(self.root, str(folder / name)) is None:
                raise NoMediaError("path_outside_root", f"{relative}/{name} leads out of the data set's folder")
        stamp = digest_json([(name, stamp_of(found[name].stat())) for name in names])
        return Media("frames", str(folder), stamp, fps)


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
