"""Backup and restore of MLflow: both databases and all artifacts, in a folder, checked by digest on both ways.

    backup.json          what is here, written last: without it a folder is no backup
    mlflow.dump, mlflow_auth.dump    pg_dump's custom form
    objects.jsonl        key, size and digest of every artifact
    objects/<sha256>     their contents
    webhook.key          with what MLflow encrypted the secrets of webhooks in its database

A backup holds password hashes and that key: it is as confidential as the installation, and for its owner alone.

Databases come first and artifacts after: MLflow writes an artifact before the row that names it, so that what a
database names is there. Runs may go on meanwhile.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Literal

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import sha256_file, sync_tree
from hazardline.s3 import clear_s3_errors
from hazardline.services.daemon import end_of
from hazardline.services.installation import Installation, read_secret, write_secret
from hazardline.services.mlflow_server import WEBHOOK_KEY
from hazardline.services.postgres import DATABASES
from hazardline.services.stack import Stack, prepared

MANIFEST, OBJECTS = "backup.json", "objects.jsonl"
_CHUNK_BYTES = 1 << 20
_NOT_EMPTY = {
    "registered models": "select count(*) from registered_models",
    "runs": "select count(*) from runs",
}


class Backup(Document):
    """What a folder holds."""

    version: Literal["services_backup@1"] = "services_backup@1"
    made_at: str
    mlflow: str
    """Version of MLflow."""
    dumps: dict[str, str]
    """Digest of the dump of each database."""
    objects_sha256: str
    """Of `objects.jsonl`."""
    num_objects: int
    size_bytes: int
    """Of all artifacts."""


class Object(Document):
    """One artifact."""

    key: str
    size_bytes: int
    sha256: str


class Restoring(Document):
    """A restore that has begun."""

    manifest_sha256: str


def backup(installation: Installation, folder: Path) -> Backup:
    """Write a backup into a folder that does not exist yet; it appears whole or not at all.

    Raises:
        UserError: the folder is there already, or a service does not answer.
    """
    folder = folder.absolute()
    if folder.exists():
        raise UserError(f"{folder}: is there already; expected the name of a new folder")
    with installation.held(), _making(folder) as making:
        stack = _running(installation)
        dumps = {}
        for database in DATABASES:
            path = making / f"{database}.dump"
            with path.open("wb") as out:
                stack.postgres.dump(database, out)
            dumps[database] = sha256_file(path)
        write_secret(making / "webhook.key", installation.secret(WEBHOOK_KEY))
        (making / "objects").mkdir()
        objects = list(_fetch_all(stack, making / "objects"))
        with (making / OBJECTS).open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(item.data()) + "\n" for item in objects)
        made = Backup(
            made_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            mlflow=metadata.version("mlflow"),
            dumps=dumps,
            objects_sha256=sha256_file(making / OBJECTS),
            num_objects=len(objects),
            size_bytes=sum(item.size_bytes for item in objects),
        )
        made.write(making / MANIFEST)
    return made


def restore(installation: Installation, folder: Path, timeout_s: float, say: Callable[[str], None] = print) -> Backup:
    """Start the services with what a backup holds, in an installation that holds nothing or does not exist.

    Everything is checked before anything is written or stopped. Cut off, it is run again with the same backup. The
    accounts of the services keep this installation's passwords.

    Raises:
        UserError: the backup is damaged, the installation holds something, or a service does not come up.
    """
    found, objects = read_backup(folder)
    installation.folder.mkdir(parents=True, exist_ok=True)
    with installation.held():
        stack = prepared(installation, {})
        stack.start_stores(timeout_s, say)
        _refuse_full(installation, stack, folder, objects)
        stack.mlflow.stop()
        _refuse_full(installation, stack, folder, objects)  # a run may have come in until then
        Restoring(manifest_sha256=sha256_file(folder / MANIFEST)).write(installation.restoring_path)
        _send_all(stack, folder, objects)
        installation.put_secret(WEBHOOK_KEY, read_secret(folder / "webhook.key"))
        for database in DATABASES:
            with (folder / f"{database}.dump").open("rb") as dump:
                stack.postgres.restore(database, dump)
        # Of whatever MLflow: a backup may have been made after another one was installed and before the upgrade.
        stack.start(timeout_s, upgrade=True, say=say)
        installation.restoring_path.unlink()
    return found


def read_backup(folder: Path) -> tuple[Backup, list[Object]]:
    """A backup, every byte of it checked.

    Raises:
        UserError: it is not one, or something in it is missing or was changed.
    """
    found = Backup.read(folder / MANIFEST)
    _check(folder / OBJECTS, found.objects_sha256)
    for database in DATABASES:
        _check(folder / f"{database}.dump", found.dumps.get(database, ""))
    lines = (folder / OBJECTS).read_text(encoding="utf-8").splitlines()
    objects = [Object.parse_json(line, f"{folder / OBJECTS}:{number}") for number, line in enumerate(lines, 1)]
    for digest in sorted({item.sha256 for item in objects}):
        _check(folder / "objects" / digest, digest)
    return found, objects


def _check(path: Path, digest: str) -> None:
    if not path.is_file():
        raise UserError(f"{path}: is missing in this backup; take another one")
    if sha256_file(path) != digest:
        raise UserError(f"{path}: is not what was backed up (its digest differs); take another backup")


@contextmanager
def _making(folder: Path) -> Iterator[Path]:
    """A folder for its owner alone that takes its name when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    before = os.umask(0o077)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        yield making
        sync_tree(making)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    finally:
        os.umask(before)


def _running(installation: Installation) -> Stack:
    stack = Stack(installation, installation.settings())
    down = [state for state in stack.states() if not state.is_up and state.name != "mlflow"]
    if down:
        said = "; ".join(f"{state.name} {state.detail}" for state in down)
        raise UserError(f"{said}. Run `make services` first. {end_of(stack.postgres.log)}")
    return stack


def _fetch_all(stack: Stack, folder: Path) -> Iterator[Object]:
    """Copy every object of MLflow's bucket; contents that several share lie there once."""
    client, bucket = stack.storage.client("mlflow"), stack.settings.bucket("mlflow")
    with clear_s3_errors(bucket):
        for key in _keys(client, bucket):
            making = folder / ".making"
            with making.open("wb") as stream:
                digest, size_bytes = _copied(client.get_object(Bucket=bucket, Key=key)["Body"], stream)
            making.rename(folder / digest)
            yield Object(key=key, size_bytes=size_bytes, sha256=digest)


def _send_all(stack: Stack, folder: Path, objects: list[Object]) -> None:
    """Upload every object, and read it back: what S3 holds is what was backed up."""
    client, bucket = stack.storage.client("mlflow"), stack.settings.bucket("mlflow")
    with clear_s3_errors(bucket):
        for item in objects:
            client.upload_file(str(folder / "objects" / item.sha256), bucket, item.key)
            digest, _ = _copied(client.get_object(Bucket=bucket, Key=item.key)["Body"], None)
            if digest != item.sha256:
                raise UserError(f"s3://{bucket}/{item.key}: comes back with another digest than it was sent with")


def _copied(body: Any, stream: IO[bytes] | None) -> tuple[str, int]:
    """Digest and size of an object, copied on the way; boto3 notices one that is cut short."""
    digest, size_bytes = sha256(), 0
    for chunk in body.iter_chunks(_CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
        if stream is not None:
            stream.write(chunk)
    return digest.hexdigest(), size_bytes


def _keys(client: Any, bucket: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            yield str(item["Key"])


def _refuse_full(installation: Installation, stack: Stack, folder: Path, objects: list[Object]) -> None:
    """See that nothing is overwritten but what an earlier attempt with this backup has left."""
    wanted = {item.key for item in objects}
    bucket = stack.settings.bucket("mlflow")
    foreign = [key for key in _keys(stack.storage.client("mlflow"), bucket) if key not in wanted]
    found = [f"artifacts such as {foreign[0]}"] if foreign else []
    if installation.restoring_path.exists():
        begun = Restoring.read(installation.restoring_path)
        if begun.manifest_sha256 != sha256_file(folder / MANIFEST):
            raise UserError(f"{installation.folder}: another backup was being restored here; go on with that one")
    else:
        for named, sql in _NOT_EMPTY.items():
            table = sql.rpartition(" ")[2]
            is_there = stack.postgres.ask(f"select to_regclass('public.{table}')", "mlflow") != [""]
            if is_there and stack.postgres.ask(sql, "mlflow") != ["0"]:
                found.append(named)
    if found:
        raise UserError(
            f"{installation.folder}: holds {', '.join(found)} already; restore into an installation that is empty (a "
            "new HAZARDLINE_SERVICES, or this one after you have moved it away)"
        )
