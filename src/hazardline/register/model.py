"""A model version: what is packed into it, and its entry in the registry.

The package of a version, below the artifacts of its MLflow run (through a server, a version's source must lie there):

    model/<first 16 digits of the key>/
        manifest.json       sha256 of every file below, and the lineage
        adapters/<branch>/  LoRA and projector of each branch
        processor/          everything of the base but its weights: layout, tokenizer, configuration
        evaluation/         evaluation.json, clip_scores.parquet, report.html
        training.json, recipe.yaml
        decisions/          one file a decision of the gate, named by its digest
        records/            records of the stages that a release begins from, as the last run had them

The base's weights are not copied: `base_digest` names them.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.evaluate.document import EVALUATION_NAME
from hazardline.files import sha256_file, write_atomic
from hazardline.gate.document import Decision
from hazardline.register.config import RegisterConfig
from hazardline.register.lineage import KEY_TAG, Lineage, decision_tags
from hazardline.register.promote import CANDIDATE, set_alias
from hazardline.store import RECORD_NAME
from hazardline.tables import CLIP_SCORES
from hazardline.tracking import Run, ask_patiently, clear_errors
from hazardline.train.base import base_folder

MANIFEST_NAME = "manifest.json"
TRAINING_NAME = "training.json"
RECIPE_NAME = "recipe.yaml"
EVALUATION_FILES = (EVALUATION_NAME, CLIP_SCORES.file_name, "report.html")
RELEASED_FROM = ("ingest", "synthesize", "train", "evaluate")
"""Stages whose outputs export and device read."""
_KEY_DIGITS = 16


class PackageManifest(Document):
    """What a package holds (`manifest.json`)."""

    version: Literal["package@1"] = "package@1"
    lineage: Lineage
    files: dict[str, str]
    """Path below the package to hex SHA-256. Decisions and records come later and are not listed."""


@dataclass(frozen=True)
class ModelVersion:
    """A version in the registry."""

    name: str
    version: int
    run_id: str
    is_new: bool
    """False where the same candidate was registered before and was found again."""


def pack(config: RegisterConfig, inputs: Mapping[str, Path], lineage: Lineage, folder: Path) -> PackageManifest:
    """Copy everything that belongs to a version into a folder, and list it.

    Raises:
        UserError: a file that belongs to it is missing.
    """
    base = base_folder(config.base)
    wanted = {path: f"processor/{path.name}" for path in sorted(base.iterdir()) if _belongs_to_processor(path)}
    wanted |= {inputs["evaluate"] / name: f"evaluation/{name}" for name in EVALUATION_FILES}
    wanted[inputs["train"] / TRAINING_NAME] = TRAINING_NAME
    for branch in lineage.identity.adapters_digest:
        root = inputs["train"] / branch
        files = sorted(path for path in root.rglob("*") if path.is_file())
        wanted |= {path: f"adapters/{branch}/{path.relative_to(root).as_posix()}" for path in files}
    for path, name in wanted.items():
        if not path.is_file():
            raise UserError(f"{path}: missing, and it belongs to a model version; run the stage that makes it")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    names = sorted(wanted.values())
    if config.recipe:
        write_atomic(folder / RECIPE_NAME, config.recipe.encode())
        names.append(RECIPE_NAME)
    manifest = PackageManifest(lineage=lineage, files={name: sha256_file(folder / name) for name in names})
    manifest.write(folder / MANIFEST_NAME)
    return manifest


def _belongs_to_processor(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix != ".safetensors"


def register(
    client: Any,
    run: Run,
    config: RegisterConfig,
    inputs: Mapping[str, Path],
    lineage: Lineage,
    decision: Decision,
) -> ModelVersion:
    """Find or make the version of this candidate, note the gate's decision on it, and name it `candidate`.

    Args:
        client: from `tracking.connect`.
        run: the open MLflow run, into whose artifacts a new package goes.
        config: the stage's section.
        inputs: the stage's inputs.
        lineage: of the candidate.
        decision: the gate's.
    """
    found = _find(client, config.model_name, lineage)
    is_new = found is None
    if found is None:
        found = _create(client, run, config, inputs, lineage, decision)
    text = decision.model_dump_json(indent=2) + "\n"
    owner = Run(client, found.run_id)
    owner.log_text(text, f"{_place(lineage)}/decisions/{decision.digest()}.json")
    for stage in RELEASED_FROM:
        record = inputs[stage].parent / RECORD_NAME
        if record.is_file():  # by hand there is no store, and no release either
            owner.log_text(record.read_text(encoding="utf-8"), record_path(_place(lineage), stage))
    with clear_errors():
        for name, value in decision_tags(decision).items():
            client.set_model_version_tag(config.model_name, str(found.version), name, value)
        set_alias(client, config.model_name, CANDIDATE, int(found.version))
    return ModelVersion(config.model_name, int(found.version), found.run_id, is_new)


def artifacts_of(version: Any) -> tuple[str, str]:
    """Run id and folder among its artifacts of a version that this module made.

    Raises:
        UserError: the version was made by something else.
    """
    run_id, _, place = str(version.source).removeprefix("runs:/").partition("/")
    if run_id != version.run_id or not place:
        raise UserError(
            f"{version.name} version {version.version}: was not made by the register stage ({version.source})"
        )
    return run_id, place


def record_path(place: str, stage: str) -> str:
    """Where the record of a stage's output lies in a package."""
    return f"{place}/records/{stage}.json"


def _place(lineage: Lineage) -> str:
    return f"model/{lineage.key()[:_KEY_DIGITS]}"


def _find(client: Any, model_name: str, lineage: Lineage) -> Any | None:
    where = f"name = '{model_name}' and tags.`{KEY_TAG}` = '{lineage.key()}'"
    with clear_errors():
        found = client.search_model_versions(where, max_results=1, order_by=["version_number ASC"])
    return found[0] if found else None


def _create(
    client: Any,
    run: Run,
    config: RegisterConfig,
    inputs: Mapping[str, Path],
    lineage: Lineage,
    decision: Decision,
) -> Any:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="hazardline-package-") as making:
        pack(config, inputs, lineage, Path(making))
        run.log_folder(Path(making), _place(lineage))
    with clear_errors():
        try:
            client.create_registered_model(config.model_name, {"hazardline.kind": "model"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = lineage.tags() | decision_tags(decision)
        source = f"runs:/{run.run_id}/{_place(lineage)}"
        return ask_patiently(lambda: client.create_model_version(config.model_name, source, run.run_id, tags=tags))
