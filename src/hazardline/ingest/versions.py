"""Keeps what an ingest found as a version of its data set, unless nothing has changed."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hazardline.datasets.difference import changes_between
from hazardline.datasets.document import DatasetVersion, version_id
from hazardline.datasets.store import DatasetStore
from hazardline.files import digest_json, sha256_bytes, sha256_file
from hazardline.ingest.config import IngestConfig
from hazardline.ingest.report import IngestReport
from hazardline.progress import Reporter
from hazardline.store import StoredFile
from hazardline.tables import SCENES, read_rows

_ID_DIGITS = 12


def keep_version(
    config: IngestConfig, report: IngestReport, store: DatasetStore, out: Path, reporter: Reporter
) -> DatasetVersion:
    """Make what is in `out` the newest version of the data set; returns that version.

    The stage's own output names the content only (`dataset_digest`): which version came before is a matter of the
    store's history, and an output must not depend on that.
    """
    name = config.dataset or default_name(config, report)
    with store.lock(name):
        parent = store.head(name)
        if parent is not None and parent.content_digest == report.dataset_digest:
            reporter.note(f"data set {name}: nothing has changed since version {parent.version_id[:_ID_DIGITS]}")
            return parent
        before: Iterator[dict[str, Any]] = iter(())
        if parent is not None:
            before = read_rows(SCENES, store.version_folder(parent.version_id))
        changes = changes_between(before, read_rows(SCENES, out))
        files = {path.name: path for path in sorted(out.iterdir()) if path.is_file()}
        parent_id = None if parent is None else parent.version_id
        version = DatasetVersion(
            name=name,
            version_id=version_id(report.dataset_digest, parent_id),
            parent=parent_id,
            content_digest=report.dataset_digest,
            sources=report.sources,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            num_clips=report.num_clips,
            num_quarantined=report.num_quarantined,
            by_label=report.by_label,
            by_source=report.by_source,
            by_reason=report.by_reason,
            changes=changes,
            files={
                name: StoredFile(size_bytes=path.stat().st_size, sha256=sha256_file(path))
                for name, path in files.items()
            },
        )
        version = _described(version, report, files, store)
    reporter.note(
        f"data set {name}: version {version.version_id[:_ID_DIGITS]} ({changes.num_added} added, "
        f"{changes.num_changed} changed, {changes.num_removed} removed)"
    )
    return version


def _described(
    version: DatasetVersion, report: IngestReport, files: dict[str, Path], store: DatasetStore
) -> DatasetVersion:
    """Add the version to the store with a card for people and Croissant metadata for tools; returns it with these."""
    from hazardline.ingest.card import CARD_NAME, card_of
    from hazardline.ingest.croissant import CROISSANT_NAME, croissant_of  # takes two seconds to import

    roots = ", ".join(f"{source.root} ({source.source})" for source in version.sources)
    description = f"Traffic-safety clips, ingested by hazardline from {roots}."
    texts = {
        CARD_NAME: card_of(version, report, description).encode(),
        CROISSANT_NAME: (json.dumps(croissant_of(version, description), indent=2, ensure_ascii=False) + "\n").encode(),
    }
    more = {name: StoredFile(size_bytes=len(text), sha256=sha256_bytes(text)) for name, text in texts.items()}
    described = version.model_copy(update={"files": {**version.files, **more}})
    store.add(described, files, texts)
    return described


def default_name(config: IngestConfig, report: IngestReport) -> str:
    """A name for a data set without one: simulated clips share one, others are told apart by sources and roots."""
    if config.root is None:
        return "simulated"
    sources = "-".join(dict.fromkeys(source.source for source in report.sources))
    mark = digest_json([source.data() for source in report.sources])[:8]
    return f"{re.sub('[^a-z0-9-]', '-', sources)[:60]}-{mark}"
