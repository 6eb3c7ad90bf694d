"""The digest of a data set from its tables, as ingest computes it."""

from pathlib import Path

from hazardline.by_clip import Part, by_clip
from hazardline.datasets.content import ContentDigest
from hazardline.review.corrections import CORRECTIONS_NAME, Correction, of_answers, read_corrections
from hazardline.tables import RECORDS, SCENES

_SCENES = Part("ingest", SCENES, is_unique=True)
_RECORDS = Part("ingest", RECORDS)


def corrections_within(ingest: Path) -> list[Correction]:
    """The corrections that a data set has already; none where it has no such file."""
    path = ingest / CORRECTIONS_NAME
    return read_corrections(path) if path.is_file() else []


def dataset_digest(ingest: Path) -> str:
    """Hex SHA-256 of `hazardline.datasets.content` over all scenes, their published pairs and corrected answers.

    Args:
        ingest: an output folder of ingest, or one with corrections; without published pairs it has no such table.

    Raises:
        UserError: a table cannot be read, or is not in the order of `clip_id`.
    """
    has_records = (ingest / RECORDS.file_name).is_file()
    digest = ContentDigest()
    for _, (scenes, *records) in by_clip({"ingest": ingest}, (_SCENES, _RECORDS) if has_records else (_SCENES,)):
        if scenes:
            pairs = [{name: row[name] for name in row if name != "clip_id"} for rows in records for row in rows]
            digest.add(scenes[0], pairs)
    return digest.finish(of_answers(corrections_within(ingest)))
