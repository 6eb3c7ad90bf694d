"""The champion, brought back from the registry: its evaluation, or its model to be evaluated again."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.document import EVALUATION_NAME
from hazardline.files import path_inside, sha256_file
from hazardline.gate.document import CHAMPION_NAME, ChampionNote
from hazardline.register.model import MANIFEST_NAME, RECIPE_NAME, TRAINING_NAME, PackageManifest, artifacts_of
from hazardline.register.promote import CHAMPION, alias_version
from hazardline.tables import CLIP_SCORES
from hazardline.tracking import clear_errors, connect

_EVALUATION = "evaluation/"
_ADAPTERS = "adapters/"


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
    wanted = {f"{_EVALUATION}{name}": name for name in (EVALUATION_NAME, CLIP_SCORES.file_name)}
    return _fetch(model_name, out, lambda manifest: wanted)


def fetch_model(model_name: str, out: Path) -> int | None:
    """Write the champion's model as train writes one: a folder a branch, `training.json`, its recipe; `champion.json`.

    Arguments, return value and errors as of `fetch_champion`.
    """

    def wanted(manifest: PackageManifest) -> dict[str, str]:
        adapters = {name: name.removeprefix(_ADAPTERS) for name in manifest.files if name.startswith(_ADAPTERS)}
        return adapters | {name: name for name in (TRAINING_NAME, RECIPE_NAME) if name in manifest.files}

    return _fetch(model_name, out, wanted)


def _fetch(model_name: str, out: Path, wanted: Callable[[PackageManifest], dict[str, str]]) -> int | None:
    """Download files of the champion's package.

    Args:
        model_name: the registered model.
        out: where to.
        wanted: from the package's manifest to the files, by their names there and here.
    """
    client = connect()
    version = alias_version(client, model_name, CHAMPION)
    if version is not None:
        with clear_errors():
            run_id, place = artifacts_of(client.get_model_version(model_name, str(version)))
        with tempfile.TemporaryDirectory(prefix="hazardline-champion-") as scratch:
            manifest = PackageManifest.read(download(client, run_id, f"{place}/{MANIFEST_NAME}", scratch))
            for name, target in wanted(manifest).items():
                found, path = download(client, run_id, f"{place}/{name}", scratch), path_inside(out, target)
                if path is None or sha256_file(found) != manifest.files.get(name):
                    raise UserError(f"{model_name} version {version}: {name} is not the file that was registered")
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found, path)
    ChampionNote(model_name=model_name, model_version=version).write(out / CHAMPION_NAME)
    return version


def download(client: Any, run_id: str, path: str, folder: str) -> Path:
    """Bring one artifact of a run into a folder; its path there."""
    with clear_errors():
        found: str = client.download_artifacts(run_id, path, folder)
    return Path(found)
