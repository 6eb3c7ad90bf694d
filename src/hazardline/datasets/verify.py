"""Checks a data set store against itself: everything that it names is there, and is what was put there."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hazardline.datasets.document import DatasetVersion, version_id
from hazardline.datasets.store import VERSION_NAME, DatasetStore, Head
from hazardline.errors import UserError
from hazardline.files import sha256_file
from hazardline.mirror.objects import Content, open_mirror
from hazardline.progress import Reporter
from hazardline.tables import SCENES, read_rows

Severity = Literal["note", "damage"]


@dataclass(frozen=True)
class Observation:
    """Something that is not as it was left, and what to do."""

    severity: Severity
    """`note`: nothing is lost, and the next ingest mends it."""
    place: Path
    what: str


@dataclass(frozen=True)
class Verification:
    """What a check has seen."""

    num_versions: int
    num_heads: int
    num_media: int
    observations: tuple[Observation, ...]

    @property
    def is_consistent(self) -> bool:
        """Whether nothing is damaged."""
        return all(item.severity == "note" for item in self.observations)


def verify(store: DatasetStore, reporter: Reporter) -> Verification:
    """Read everything below a store and compare it with its names and digests. Nothing is changed.

    Raises:
        UserError: there is no store.
    """
    if not store.root.is_dir():
        raise UserError(f"{store.root}: no data set store here; an ingest makes one (HAZARDLINE_DATASETS names it)")
    found: list[Observation] = []
    versions = sorted(path for path in store.root.glob("versions/*") if not path.name.startswith("."))
    reporter.phase("check versions", len(versions))
    for folder in versions:
        found += _check_version(store, folder)
        reporter.advance()
    heads = sorted(path for path in store.root.glob("heads/*.json") if not path.name.startswith("."))
    for path in heads:
        found += _check_head(store, path)
    media = sorted(path for path in store.root.glob("media/??/*") if not path.name.startswith("."))
    reporter.phase("check media", len(media))
    for path in media:
        if sha256_file(path) != path.name.partition(".")[0]:
            found.append(Observation("damage", path, "is not what its name says; delete it and ingest again"))
        reporter.advance()
    for path in (store.known_path, store.root / "digests.sqlite"):
        found += _check_cache(path)
    for path in store.leftovers():
        found.append(Observation("note", path, "of an ingest at work, or left by one that was killed"))
    return Verification(len(versions), len(heads), len(media), tuple(found))


def _check_version(store: DatasetStore, folder: Path) -> Iterator[Observation]:
    try:
        version = DatasetVersion.read(folder / VERSION_NAME)
    except UserError as error:
        yield Observation("damage", folder, f"no readable version ({error}); restore it from a backup")
        return
    if version.version_id != folder.name or version_id(version.content_digest, version.parent) != folder.name:
        yield Observation("damage", folder, "the version is not what its name says; restore it from a backup")
    if version.parent is not None and not store.has_version(version.parent):
        yield Observation("damage", folder, f"its parent {version.parent} is gone; restore it from a backup")
    present = {path.name for path in folder.iterdir()} - {VERSION_NAME}
    for name in sorted(present ^ set(version.files)):
        what = "is no part of the version" if name in present else "is missing"
        yield Observation("damage", folder / name, f"{what}; restore the version from a backup")
    intact = True
    for name, file in version.files.items():
        if name in present and sha256_file(folder / name) != file.sha256:
            intact = False
            yield Observation("damage", folder / name, "was changed; restore the version from a backup")
    if intact and SCENES.file_name in present:
        yield from _check_media_of(store, folder)


def _check_media_of(store: DatasetStore, folder: Path) -> Iterator[Observation]:
    """Clips of a version that lie in the store or its mirror. Those that lie elsewhere are not the store's affair."""
    own, missing = store.root / "media", {}
    try:
        for row in read_rows(SCENES, folder, ("clip_id", "video_uri", "sha256")):
            path = Path(row["video_uri"])
            if path.is_relative_to(own) and not path.is_file():
                missing[path] = row["clip_id"], row["sha256"]
    except UserError as error:
        yield Observation("note", folder, f"the table of scenes is of another release and was not read ({error})")
    mirror = open_mirror()
    contents = [Content(path, sha256) for path, (_, sha256) in missing.items()]
    gone = contents if mirror is None else mirror.lacks(contents)
    for content in gone:
        what = f"of clip {missing[content.path][0]!r} is gone; ingest its data set again"
        yield Observation("damage", content.path, what)


def _check_head(store: DatasetStore, path: Path) -> Iterator[Observation]:
    try:
        head = Head.read(path)
        if not store.has_version(head.version_id):
            raise UserError(f"there is no version {head.version_id}")
        if store.version_folder(head.version_id).is_dir():  # else it is in the mirror, and stays there
            store.version(head.version_id)
    except UserError as error:
        yield Observation("damage", path, f"names no readable version ({error}); delete it and ingest again")


def _check_cache(path: Path) -> Iterator[Observation]:
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            (answer,) = database.execute("PRAGMA quick_check").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        yield Observation("note", path, f"is damaged ({answer}); the next ingest begins it anew")
