"""A data set below a prefix of an S3 bucket.

The prefix is listed once, into the store's work folder. Annotation files are fetched when an adapter asks for them;
media are fetched by the examining processes (`s3_media`). An object is its entity tag: under another tag it is new.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hazardline.cache_db import clear_errors
from hazardline.errors import UserError
from hazardline.files import digest_json, sha256_bytes
from hazardline.ingest.frame_folder import FrameFolderError, in_order
from hazardline.ingest.place import Media, NoMediaError, pattern_matcher
from hazardline.ingest.s3_media import fetch_object
from hazardline.s3 import clear_s3_errors, s3_client

_FETCHED_ROWS = 1000
_MAX_ANNOTATION_BYTES = 8 << 30


class S3Place:
    """Objects below `s3://bucket/prefix`."""

    def __init__(self, bucket: str, prefix: str, folder: Path) -> None:
        """List the prefix.

        Args:
            bucket: the bucket.
            prefix: without a slash at its end; may be empty.
            folder: where the listing and fetched annotation files go.

        Raises:
            UserError: the bucket cannot be read, or nothing is there.
        """
        self._bucket, self._begin, self._folder = bucket, f"{prefix}/" if prefix else "", folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "listing.sqlite"
        with clear_errors(path):
            self._listing = sqlite3.connect(path, isolation_level=None)
            self._listing.execute("PRAGMA journal_mode=OFF")
            self._listing.execute("CREATE TABLE objects (name TEXT PRIMARY KEY, size INTEGER, etag TEXT) WITHOUT ROWID")
            with clear_s3_errors(self.name):
                self._list()
        if self._listing.execute("SELECT count(*) FROM objects").fetchone()[0] == 0:
            raise UserError(f"{self.name}: nothing is there; ingest.root must name the prefix of a data set")

    @property
    def name(self) -> str:
        """Its address."""
        return f"s3://{self._bucket}/{self._begin}".rstrip("/")

    def _list(self) -> None:
        pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._begin)
        for page in pages:
            rows = [
                (item["Key"].removeprefix(self._begin), item["Size"], item["ETag"].strip('"'))
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")
            ]
            self._listing.execute("BEGIN")
            self._listing.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", rows)
            self._listing.execute("COMMIT")

    def _object(self, name: str) -> tuple[int, str] | None:
        row = self._listing.execute("SELECT size, etag FROM objects WHERE name = ?", (name,)).fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def _names(self, begin: str) -> Iterator[str]:
        """Names that begin so, in order."""
        query = "SELECT name FROM objects WHERE name > ? AND name >= ? ORDER BY name LIMIT ?"
        last = ""
        while rows := self._listing.execute(query, (last, begin, _FETCHED_ROWS)).fetchall():
            for (last,) in rows:
                if not last.startswith(begin):
                    return
                yield last

    def file(self, relative: str) -> Path | None:
        """As `hazardline.ingest.place.Place.file`; the local name is a digest, not the key."""
        found = self._object(relative)
        if found is None:
            return None
        size_bytes, etag = found
        if size_bytes > _MAX_ANNOTATION_BYTES:
            raise UserError(f"{self.name}/{relative}: {size_bytes} bytes are over the limit of an annotation file")
        local = self._folder / f"{sha256_bytes(f'{relative} {etag}'.encode())[:24]}{PurePosixPath(relative).suffix}"
        if not local.exists():
            fetch_object(self._bucket, self._begin + relative, etag, local)
        return local

    def find(self, pattern: str) -> Iterator[str]:
        """As `hazardline.ingest.place.Place.find`."""
        matches = pattern_matcher(pattern)
        return (name for name in self._names("") if matches.fullmatch(name))

    def media(self, relative: str, fps: float | None) -> Media:
        """As `hazardline.ingest.place.Place.media`; S3 knows no links, and `..` is a name like any other."""
        found = self._object(relative)
        where = f"s3://{self._bucket}/{self._begin}{relative}"
        if found is not None:
            return Media("s3", where, f"{found[0]} {found[1]}")
        folder = relative.rstrip("/") + "/"
        names = [name.removeprefix(folder) for name in self._names(folder)]
        names = [name for name in names if "/" not in name]
        if not names:
            raise NoMediaError("missing_file", f"there is no object {relative!r}")
        if fps is None:
            raise NoMediaError("unknown_rate", f"{relative!r} holds frames, and its frames a second are unknown")
        try:
            ordered = in_order(names)
        except FrameFolderError as error:
            raise NoMediaError(error.reason, f"{relative!r}: {error.detail}") from None
        stamp = digest_json([(name, self._object(folder + name)) for name in ordered])
        return Media("s3_frames", f"s3://{self._bucket}/{self._begin}{folder}", stamp, fps)
