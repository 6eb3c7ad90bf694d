"""The digest of a data set from its tables, as ingest computes it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hazardline.datasets.content import ContentDigest
from hazardline.review.corrections import CORRECTIONS_NAME, Correction, of_answers, read_corrections
from hazardline.tables import RECORDS, read_rows


def published_pairs(ingest: Path) -> dict[str, list[dict[str, Any]]]:
    """The data set's own question-answer pairs by clip; none where it has no such table."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if (ingest / RECORDS.file_name).is_file():
        for row in read_rows(RECORDS, ingest):
            found[row["clip_id"]].append({name: value for name, value in row.items() if name != "clip_id"})
    return dict(found)


def corrections_within(ingest: Path) -> list[Correction]:
    """The corrections that a data set has already; none where it has no such file."""
    path = ingest / CORRECTIONS_NAME
    return read_corrections(path) if path.is_file() else []


def dataset_digest(
    scenes: Iterable[Mapping[str, Any]],
    pairs: Mapping[str, list[dict[str, Any]]],
    corrections: Iterable[Correction] = (),
) -> str:
    """Hex SHA-256 of `hazardline.datasets.content` over all scenes, their published pairs and corrected answers."""
    digest = ContentDigest()
    for row in scenes:
        digest.add(row, pairs.get(row["clip_id"], []))
    return digest.finish(of_answers(corrections))
