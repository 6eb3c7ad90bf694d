"""What is new in a dataset version: both versions side by side in a database on disk, whatever their size and order.

SQLite joins and sorts outside memory. The database lives in a temporary folder and holds digests and a few columns.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from hazardline.errors import UserError
from hazardline.files import canonical_json
from hazardline.newdata.columns import BATCH_ROWS
from hazardline.newdata.document import STATUSES, Status, StatusCounts, Version
from hazardline.tables import SCENES, read_batches

Side = Literal["reference", "today"]
FRESH: tuple[Status, ...] = ("new", "changed")
"""Bytes that the reference does not have."""
TRAINABLE: tuple[Status, ...] = (*FRESH, "relabelled")
"""What another training would see for the first time."""

_FROM_THE_FILE = frozenset(
    {
        "video_uri",
        "size_bytes",
        "duration_s",
        "fps",
        "num_frames",
        "width_px",
        "height_px",
        "codec",
    }
)
ANNOTATION_COLUMNS = tuple(n for n in SCENES.schema.names if n not in _FROM_THE_FILE | {"clip_id", "sha256"})
"""Every column that the bytes do not determine."""

_COUNTED = ("source", "label", "scenario")
_MAX_CATEGORIES = 50
_CACHE_KIB = 16_384
_TABLE = (
    "CREATE TABLE {side} (clip_id TEXT PRIMARY KEY, bytes BLOB, annotation BLOB, draw BLOB, "
    "source TEXT, label TEXT, scenario TEXT) WITHOUT ROWID"
)
_COMPARE = """
CREATE TABLE compared AS SELECT today.*, CASE
    WHEN known.bytes = today.bytes AND known.annotation = today.annotation THEN 'unchanged'
    WHEN known.bytes = today.bytes THEN 'relabelled'
    WHEN EXISTS (SELECT 1 FROM reference AS other WHERE other.bytes = today.bytes
        AND other.annotation = today.annotation) THEN 'renamed'
    WHEN EXISTS (SELECT 1 FROM reference AS other WHERE other.bytes = today.bytes) THEN 'relabelled'
    WHEN known.clip_id IS NOT NULL THEN 'changed'
    ELSE 'new' END AS status
FROM today LEFT JOIN reference AS known ON known.clip_id = today.clip_id
"""
_REMOVED = """
INSERT INTO compared SELECT reference.*, 'removed' FROM reference
WHERE NOT EXISTS (SELECT 1 FROM today WHERE today.clip_id = reference.clip_id)
AND NOT EXISTS (SELECT 1 FROM today WHERE today.bytes = reference.bytes)
"""


class Comparison:
    """Two versions, compared. Made by `compared`, which also takes the database away."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Ask a database that `compared` has filled."""
        self._database = database

    def version(self, side: Side) -> Version:
        """Size and digest of one version."""
        digest, num_clips = hashlib.sha256(), 0
        for clip_id, sha, annotation in self._ask(f"SELECT clip_id, bytes, annotation FROM {side} ORDER BY clip_id"):  # noqa: S608
            digest.update(hashlib.sha256(clip_id.encode()).digest() + sha + annotation)
            num_clips += 1
        return Version(num_clips=num_clips, content_digest=digest.hexdigest())

    def new_digest(self) -> str | None:
        """Digest over the sorted bytes and annotations of what a training would see for the first time."""
        digest, is_empty = hashlib.sha256(), True
        query = f"SELECT bytes, annotation FROM compared WHERE {_among(TRAINABLE)} ORDER BY bytes, annotation"  # noqa: S608
        for sha, annotation in self._ask(query):
            digest.update(sha + annotation)
            is_empty = False
        return None if is_empty else digest.hexdigest()

    def counts(self) -> dict[Status, StatusCounts]:
        """Clips of every status, by source, label and scenario."""
        found: dict[str, dict[str, dict[str, int]]] = {status: {name: {} for name in _COUNTED} for status in STATUSES}
        for name in _COUNTED:
            query = f"SELECT status, {name}, COUNT(*) FROM compared GROUP BY status, {name} ORDER BY 3 DESC, 2"  # noqa: S608
            for status, category, count in self._ask(query):
                kept = found[status][name]
                key = category if len(kept) < _MAX_CATEGORIES else "(others)"
                kept[key] = kept.get(key, 0) + count
        return {
            status: StatusCounts(
                num_clips=sum(found[status]["label"].values()),
                by_source=found[status]["source"],
                by_label=found[status]["label"],
                by_scenario=found[status]["scenario"],
            )
            for status in STATUSES
        }

    def num_new_crashes(self) -> int:
        """Crashes among the clips with unknown bytes."""
        rows = self._ask(f"SELECT COUNT(*) FROM compared WHERE label = 'crash' AND {_among(FRESH)}")  # noqa: S608
        return int(next(rows)[0])

    def sample_new(self, size: int) -> list[str]:
        """At most `size` ids of clips with unknown bytes, each equally likely, whatever the order of the table."""
        query = f"SELECT clip_id FROM compared WHERE {_among(FRESH)} ORDER BY draw, clip_id LIMIT {size:d}"  # noqa: S608
        return [row[0] for row in self._ask(query)]

    def sample_reference(self, size: int) -> list[str]:
        """At most `size` ids of the reference, in the same way."""
        return [row[0] for row in self._ask(f"SELECT clip_id FROM reference ORDER BY draw, clip_id LIMIT {size:d}")]  # noqa: S608

    def _ask(self, query: str) -> Iterator[tuple[Any, ...]]:
        return iter(self._database.execute(query))


@contextmanager
def compared(reference: Path | None, today: Path, seed: int) -> Iterator[Comparison]:
    """Compare today's version with the reference, clip by clip.

    Args:
        reference: output folder of ingest, or None where there is no version yet.
        today: output folder of ingest.
        seed: of the samples.

    Raises:
        UserError: a table cannot be read, an id stands there twice, or the disk is full.
    """
    with TemporaryDirectory(prefix="hazardline-newdata-") as folder:
        database = sqlite3.connect(Path(folder) / "versions.sqlite", isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = OFF")  # a temporary database needs no rollback
            database.execute("PRAGMA synchronous = OFF")
            database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            _load(database, "reference", reference, seed)
            _load(database, "today", today, seed)
            for side in ("reference", "today"):
                database.execute(f"CREATE INDEX {side}_bytes ON {side} (bytes, annotation)")
            database.execute(_COMPARE)
            database.execute(_REMOVED)
            yield Comparison(database)
        except sqlite3.OperationalError as error:
            raise UserError(
                f"{folder}: cannot hold the two versions while they are compared ({error}); make room there, or set "
                "TMPDIR to a folder with about 0.6 GB for a million clips"
            ) from None
        finally:
            database.close()


def annotation_digests(batch: pa.RecordBatch) -> list[bytes]:
    """16 bytes for each row of the annotation columns; equal for equal values of all columns only.

    Every value is written behind its length (`-` for none), so that no text of one column can pass for two.
    """
    parts: list[Any] = []
    for name in ANNOTATION_COLUMNS:
        text = _as_text(batch.column(name))
        parts += [pc.fill_null(pc.cast(pc.binary_length(text), pa.string()), "-"), pc.fill_null(text, "")]
    joined = pc.binary_join_element_wise(*parts, ":")
    return [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in joined.to_pylist()]


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_nested(column.type):
        values = [None if value is None else canonical_json(value).decode() for value in column.to_pylist()]
        return pa.array(values, pa.string())
    return pc.cast(column, pa.string())


def _load(database: sqlite3.Connection, side: Side, folder: Path | None, seed: int) -> None:
    database.execute(_TABLE.format(side=side))
    if folder is None:
        return
    database.execute("BEGIN")
    num_loaded = 0
    for batch in read_batches(SCENES, folder, ("clip_id", "sha256", *ANNOTATION_COLUMNS), BATCH_ROWS):
        ids = batch.column("clip_id").to_pylist()
        shas = [hashlib.blake2b(sha.encode(), digest_size=16).digest() for sha in batch.column("sha256").to_pylist()]
        draws = [_draw(seed, clip_id) for clip_id in ids]
        counted = [batch.column(name).to_pylist() for name in _COUNTED]
        rows = zip(ids, shas, annotation_digests(batch), draws, *counted, strict=True)
        try:
            database.executemany(f"INSERT INTO {side} VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
        except sqlite3.IntegrityError:
            num_inserted = database.execute(f"SELECT COUNT(*) FROM {side}").fetchone()[0]  # noqa: S608
            raise UserError(
                f"{folder / SCENES.file_name}: clip {ids[num_inserted - num_loaded]!r} stands there twice; a version "
                "holds a clip once: run ingest again"
            ) from None
        num_loaded += len(ids)
    database.execute("COMMIT")


def _draw(seed: int, clip_id: str) -> bytes:
    """Where a clip stands in the order of sampling: by chance, but the same in any table."""
    return hashlib.blake2b(f"{seed}:{clip_id}".encode(), digest_size=8).digest()


def _among(statuses: Sequence[Status]) -> str:
    return f"status IN ({', '.join(repr(status) for status in statuses)})"
