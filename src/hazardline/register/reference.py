"""The data set version that the champion was trained on, and what became of trainings on other versions."""

import shutil
from pathlib import Path
from typing import Any

from hazardline import environment
from hazardline.datasets.ancestry import version_with
from hazardline.datasets.store import DatasetStore
from hazardline.errors import UserError
from hazardline.ingest.features import FEATURES
from hazardline.newdata.reference import REFERENCE_FOLDER, REFERENCE_NAME, ReferenceNote
from hazardline.register.ledger import Entry
from hazardline.register.lineage import DATASET_TAG
from hazardline.register.promote import (
    APPROVAL_TAG,
    CHAMPION,
    GATE_TAG,
    SEEN_TAG,
    WAITS,
    alias_version,
    champion_words,
    history,
    seen_text,
)
from hazardline.register.versions import all_versions
from hazardline.tables import SCENES
from hazardline.tracking import connect

_TABLES = (SCENES, FEATURES)
"""What the newdata stage reads of a version."""


def fetch_reference(model_name: str, dataset: str, out: Path) -> int | None:
    """Write `reference.json`, and the tables of the champion's data set version below `version/`.

    Args:
        model_name: the registered model; it need not exist yet.
        dataset: name of the data set.
        out: an existing folder.

    Returns:
        The champion's version, or None.

    Raises:
        UserError: MLflow cannot be reached, or the promotion log or a data set version cannot be read.
    """
    client = connect()
    champion = alias_version(client, model_name, CHAMPION)
    versions = all_versions(client, model_name)
    found, unknown = None, None
    if champion is not None:
        (tags,) = (version.tags for version in versions if int(version.version) == champion)
        found, unknown = _reference(champion, tags.get(DATASET_TAG), dataset, out / REFERENCE_FOLDER)
    entries = history(model_name) if versions else []
    ReferenceNote(
        model_name=model_name,
        model_version=champion,
        dataset_version=found,
        unknown=unknown,
        trained=_trained(versions, champion, entries),
    ).write(out / REFERENCE_NAME)
    return champion


def _reference(champion: int, content_digest: str | None, dataset: str, folder: Path) -> tuple[str | None, str | None]:
    """Copy the champion's data set version; its id, or why there is none."""
    named = champion_words(champion)
    if content_digest is None:
        return None, f"{named} does not say which version of the data set it was trained on"
    store = DatasetStore(environment.datasets_root())
    version = version_with(store, dataset, content_digest)
    if version is None:
        return None, f"{named} was trained on other data than any version of {dataset} in {store.root}"
    folder.mkdir()
    for table in _TABLES:
        source = store.version_folder(version.version_id) / table.file_name
        if not source.is_file():
            raise UserError(f"{source}: missing; `hazardline ingest --verify` says what else is")
        shutil.copyfile(source, folder / table.file_name)
    return version.version_id, None


def _trained(versions: list[Any], champion: int | None, entries: list[Entry]) -> dict[str, str]:
    """Data set versions on which another training would come to the same end, with that end.

    A version whose gate was open and that was never promoted, though nobody need be asked, is none of them: its run
    was killed or lost a race, and the next one is to go on from there.
    """
    once_champion = {entry.to_version for entry in entries}
    found = {}
    for version in versions:
        number, tags = int(version.version), version.tags
        if DATASET_TAG not in tags or number == champion:
            continue
        if tags.get(APPROVAL_TAG) == WAITS and tags.get(SEEN_TAG) == seen_text(champion):
            end = "it waits for approval"
        elif tags.get(GATE_TAG) == "closed" and tags.get(SEEN_TAG) == seen_text(champion):
            end = f"its gate stayed closed against {champion_words(champion)}"
        elif number in once_champion:
            end = "it was champion and is no more"
        else:
            continue
        found[tags[DATASET_TAG]] = f"a training ran already on today's version: version {number}; {end}"
    return found
