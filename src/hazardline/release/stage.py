"""Release: sign the exported bundle and publish it, if the gate let the candidate through."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hazardline.device.bundle import verify_bundle
from hazardline.errors import UserError
from hazardline.files import sha256_bytes, write_atomic
from hazardline.progress import Reporter
from hazardline.release.config import ReleaseConfig
from hazardline.release.destination import Destination, FolderDestination, open_destination
from hazardline.release.document import RELEASE_NAME, ReleaseReport
from hazardline.release.keys import KeyFolder
from hazardline.release.publish import Publisher, publish

ROOT_NAME = "root.json"
"""The trust anchor beside `release.json`: what a device is provisioned with."""


def run(config: ReleaseConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Publish the bundle and write `release.json` and `root.json`; or say why nothing was released.

    Args:
        config: model, channel, destination, keys, validity.
        inputs: `export` (bundle and parity) and `register` (whether the candidate was promoted).
        out: empty folder.
        reporter: progress, a unit a file.

    Raises:
        UserError: the bundle does not verify, the registration cannot be read, or publishing failed.
    """
    destination = open_destination(config.destination_address(), config.public_url)
    keys = KeyFolder(config.keys_folder())
    _keep_apart(config, keys, out)
    registration = _read_object(inputs["register"] / "registration.json")
    refusal = _refusal(registration, inputs["export"])
    if refusal is not None:
        report = _not_released(config, destination, keys, refusal, out)
    else:
        publisher = Publisher(destination, keys, config.expiry, datetime.now(UTC))
        report = _release(config, publisher, inputs["export"] / "bundle", registration, out, reporter)
    report.write(out / RELEASE_NAME)
    reporter.note(f"{config.model}: {report.reason}")
    return report.data()


def _release(
    config: ReleaseConfig,
    publisher: Publisher,
    folder: Path,
    registration: Mapping[str, Any],
    out: Path,
    reporter: Reporter,
) -> ReleaseReport:
    bundle = verify_bundle(folder)
    published = publish(publisher, config.model, config.channel, bundle, _facts(registration), reporter)
    write_atomic(out / ROOT_NAME, published.root)
    return ReleaseReport(
        released=True,
        reason=f"released as version {published.version}"
        if published.is_new
        else f"version {published.version} on channel {config.channel} is this bundle already",
        model=config.model,
        channel=config.channel,
        version=published.version,
        manifest_sha256=bundle.manifest_sha256,
        repository=publisher.destination.address(),
        root_sha256=sha256_bytes(published.root),
        num_files=len(bundle.files) + 1,
        num_files_uploaded=published.num_files_uploaded,
        size_bytes=bundle.size_bytes,
    )


def _not_released(
    config: ReleaseConfig, destination: Destination, keys: KeyFolder, reason: str, out: Path
) -> ReleaseReport:
    """The report of a closed gate. Devices stay on what was released before: the anchor is handed on."""
    root = keys.root_path.read_bytes() if keys.root_path.exists() else None
    if root is not None:
        write_atomic(out / ROOT_NAME, root)
    return ReleaseReport(
        released=False,
        reason=reason,
        model=config.model,
        channel=config.channel,
        repository=destination.address() if root is not None else None,
        root_sha256=sha256_bytes(root) if root is not None else None,
    )


def _refusal(registration: Mapping[str, Any], export: Path) -> str | None:
    """Why the bundle must not be released, if so. What is not said is not taken for a yes."""
    if registration.get("promoted") is not True:
        reason = registration.get("reason") or "the registration does not say that the candidate was promoted"
        return f"not released: {reason}"
    # Export fails where a parity gate is closed; its report is what shows that the gates were there.
    if not (export / "parity.json").is_file():
        return "not released: the export left no parity.json, so nothing shows that the bundle answers alike"
    return None


def _facts(registration: Mapping[str, Any]) -> dict[str, str]:
    """Where the bundle comes from, for the signed release: names only, no addresses of the workshop."""
    return {key: str(registration[key]) for key in ("name", "version", "run_id") if key in registration}


def _keep_apart(config: ReleaseConfig, keys: KeyFolder, out: Path) -> None:
    published = [out.resolve()]
    if isinstance(open_destination(config.destination_address()), FolderDestination):
        published.append(Path(config.destination_address()).resolve())
    for folder in published:
        if keys.folder.resolve().is_relative_to(folder) or folder.is_relative_to(keys.folder.resolve()):
            raise UserError(
                f"release.keys: {keys.folder} and {folder} lie inside one another; signing keys must stay outside of "
                "everything that is published"
            )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the stage that makes it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object; run the stage that makes it again")
    return value
