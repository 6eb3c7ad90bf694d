"""The digest of a data set from its tables, as ingest computes it (`hazardline.ingest.scene_rows`)."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hazardline.datasets.difference import placeless
from hazardline.files import canonical_json
from hazardline.tables import RECORDS, read_rows


def published_pairs(ingest: Path) -> dict[str, list[dict[str, Any]]]:
    """The data set's own question-answer pairs by clip; none where it has no such table."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if (ingest / RECORDS.file_name).is_file():
        for row in read_rows(RECORDS, ingest):
            found[row["clip_id"]].append({name: value for name, value in row.items() if name != "clip_id"})
    return dict(found)


def dataset_digest(scenes: Iterable[Mapping[str, Any]], pairs: Mapping[str, list[dict[str, Any]]]) -> str:
    """Hex SHA-256 over all scenes, but for the place of their files, and over their published pairs."""
    digest = hashlib.sha256()
    for row in scenes:
        digest.update(canonical_json([placeless(dict(row)), pairs.get(row["clip_id"], [])]) + b"\n")
    return digest.hexdigest()
