"""The champion's evaluation, brought back from the registry so that the gate can compare a candidate with it."""

import shutil
import tempfile
from pathlib import Path

from hazardline.errors import UserError
from hazardline.evaluate.document import EVALUATION_NAME
from hazardline.files import sha256_file
from hazardline.gate.document import CHAMPION_NAME, ChampionNote
from hazardline.register.model import MANIFEST_NAME, PackageManifest, artifacts_of
from hazardline.register.promote import CHAMPION, alias_version
from hazardline.tables import CLIP_SCORES
from hazardline.tracking import clear_errors, connect

_FILES = (EVALUATION_NAME, CLIP_SCORES.file_name)


def fetch_champion(model_name: str, out: Path) -> int | None:
    """Write the gate's `champion` input: the champion's evaluation, its clip scores and `champion.json`.

    Without a champion `champion.json` says so and is the only file.

    Args:
        model_name: the registered model; it need not exist yet.
        out: an existing folder.

    Returns:
        The champion's version, or None.

    Raises:
        UserError: MLflow cannot be reached, or a file is not the one that was registered.
    """
    client = connect()
    version = alias_version(client, model_name, CHAMPION)
    if version is not None:
        with clear_errors():
            run_id, place = artifacts_of(client.get_model_version(model_name, str(version)))
        with tempfile.TemporaryDirectory(prefix="hazardline-champion-") as scratch:
            manifest = PackageManifest.read(_download(client, run_id, f"{place}/{MANIFEST_NAME}", scratch))
            for name in _FILES:
                found = _download(client, run_id, f"{place}/evaluation/{name}", scratch)
                if sha256_file(found) != manifest.files.get(f"evaluation/{name}"):
                    raise UserError(f"{model_name} version {version}: {name} is not the file that was registered")
                shutil.copyfile(found, out / name)
    ChampionNote(model_name=model_name, model_version=version).write(out / CHAMPION_NAME)
    return version


def _download(client: object, run_id: str, path: str, folder: str) -> Path:
    with clear_errors():
        found: str = client.download_artifacts(run_id, path, folder)  # type: ignore[attr-defined]
    return Path(found)
