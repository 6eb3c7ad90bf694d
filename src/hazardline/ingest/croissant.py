"""A dataset version described in Croissant 1.1 (MLCommons), so that other tools find its tables and read them."""

from datetime import datetime
from typing import Any

import mlcroissant as mlc
import pyarrow as pa

from hazardline.datasets.document import DatasetVersion
from hazardline.ingest.features import FEATURES
from hazardline.ingest.fingerprints import FINGERPRINTS
from hazardline.ingest.licences import licence_addresses
from hazardline.tables import QUARANTINE, RECORDS, SCENES, Table

CROISSANT_NAME = "croissant.json"
_TABLES = {
    SCENES.file_name: (SCENES, "One usable clip a row. Times are seconds from the first frame."),
    QUARANTINE.file_name: (QUARANTINE, "One clip that cannot be used a row, with the reason."),
    FEATURES.file_name: (FEATURES, "What is cheap to see in a clip: colour and motion, a clip a row."),
    FINGERPRINTS.file_name: (
        FINGERPRINTS,
        "Hashes of a clip over time, by which near duplicates are found, a clip a row.",
    ),
    RECORDS.file_name: (RECORDS, "A question-answer pair that a data set was published with, a row."),
}
_KINDS = {
    pa.string(): mlc.DataType.TEXT,
    pa.int64(): mlc.DataType.INTEGER,
    pa.float64(): mlc.DataType.FLOAT,
    pa.bool_(): mlc.DataType.BOOL,
}
"""There is none for bytes: of such a table the file is named, and no records."""
_CROISSANT = "http://mlcommons.org/croissant/1.1"
_UNITS = {"_s": "seconds", "_px": "pixels", "_bytes": "bytes"}


def croissant_of(
    version: DatasetVersion,
    description: str,
    licences: list[str] | None = None,
    citation: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Metadata of a version, to lie as `croissant.json` beside its tables.

    Args:
        version: its facts; tables that `files` does not hold are left out. (The document's own entry in `files` comes
            after: `version.model_copy(update=...)`.)
        description: what the data set is, for people.
        licences: addresses or texts; None takes those of its sources.
        citation: how to cite it (BibTeX).
        address: its page, where it has one.

    Returns:
        JSON-LD; the same version gives the same document.
    """
    held = {name: _TABLES[name] for name in sorted(version.files) if name in _TABLES}
    distribution = [
        mlc.FileObject(
            id=name,
            name=name,
            description=text,
            content_url=name,
            content_size=f"{version.files[name].size_bytes} B",
            encoding_formats=[mlc.EncodingFormat.PARQUET],
            sha256=version.files[name].sha256,
        )
        for name, (_, text) in held.items()
    ]
    metadata = mlc.Metadata(
        ctx=mlc.Context(conforms_to=_CROISSANT),
        name=version.name,
        description=f"{description}\n\nVersion {version.version_id}.",
        license=licence_addresses(version.layouts) if licences is None else licences,
        cite_as=citation,
        url=address,
        version=f"0.0.0+{version.version_id[:12]}",  # Croissant wants this form; a version here has only its digest
        date_created=datetime.fromisoformat(version.created_at),
        date_published=datetime.fromisoformat(version.created_at),
        distribution=distribution,
        record_sets=[_record_set(table, text) for table, text in held.values() if table is not FINGERPRINTS],
    )
    document: dict[str, Any] = metadata.to_json()
    return document


def _record_set(table: Table, text: str) -> mlc.RecordSet:
    name = table.file_name.removesuffix(".parquet")
    has_key = table not in (RECORDS, QUARANTINE)  # a clip has several pairs; several rows may claim one id
    return mlc.RecordSet(
        id=name,
        name=name,
        description=f"{text} Schema {table.name}.",
        key=[f"{name}/clip_id"] if has_key else None,
        fields=[_field(name, table.file_name, field) for field in table.schema],
    )


def _field(record_set: str, file_name: str, field: pa.Field) -> mlc.Field:
    is_list = pa.types.is_list(field.type)
    unit = next((unit for ending, unit in _UNITS.items() if field.name.endswith(ending)), None)
    notes = [field.name.replace("_", " ")]
    notes += [f"in {unit}"] if unit else []
    notes += ["may be missing"] if field.nullable else []
    return mlc.Field(
        id=f"{record_set}/{field.name}",
        name=field.name,
        description=", ".join(notes),
        data_types=[_KINDS[field.type.value_type if is_list else field.type]],
        is_array=True if is_list else None,
        array_shape="-1" if is_list else None,
        source=mlc.Source(file_object=file_name, extract=mlc.Extract(column=field.name)),
    )
