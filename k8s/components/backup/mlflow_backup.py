"""MLflow's databases to S3 and back: `mlflow_backup.py dump`, `list`, or `restore NAME`.

Host, user and password of PostgreSQL come from libpq's variables, credentials of S3 from boto3's, and its address from
HAZARDLINE_S3_ENDPOINT. A dump is written whole before it is uploaded, and read back (`pg_restore --list`): a folder in
S3 holds a set of dumps, and its file SHA256SUMS, which comes last, says that the set is complete.

Dumps are of one database each, one after the other: a user added between the two may be missing in the second.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DATABASES = ("mlflow", "mlflow_auth")
SUMS = "SHA256SUMS"


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("dump", help="dump both databases into a new folder named for the time")
    commands.add_parser("list", help="names of the complete sets of dumps, oldest first")
    restore = commands.add_parser("restore", help="replace the content of both databases by a set of dumps")
    restore.add_argument("name", help="as `list` gives it")
    chosen = parser.parse_args(arguments)
    bucket, prefix = _destination(os.environ["MLFLOW_BACKUP_DESTINATION"])
    client = _client()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.command == "dump":
            print(dump(client, bucket, prefix, Path(folder), datetime.now(UTC)))
        elif chosen.command == "list":
            print("\n".join(complete_sets(client, bucket, prefix)))
        else:
            restore_set(client, bucket, prefix, chosen.name, Path(folder))


def dump(client: Any, bucket: str, prefix: str, folder: Path, now: datetime) -> str:
    """Dump both databases and upload them.

    Returns:
        Name of the set.
    """
    name = f"{now:%Y%m%dT%H%M%SZ}"
    sums = []
    for database in DATABASES:
        path = folder / f"{database}.dump"
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={path}", f"--dbname={database}")
        _run("pg_restore", "--list", str(path), quiet=True)
        sums.append(f"{_sha256(path)}  {path.name}\n")
        client.upload_file(str(path), bucket, f"{prefix}/{name}/{path.name}")
    client.put_object(Bucket=bucket, Key=f"{prefix}/{name}/{SUMS}", Body="".join(sums).encode())
    return name


def complete_sets(client: Any, bucket: str, prefix: str) -> list[str]:
    """Names of the sets whose sums are there, oldest first."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return sorted(key.split("/")[-2] for key in keys if key.endswith(f"/{SUMS}"))


def restore_set(client: Any, bucket: str, prefix: str, name: str, folder: Path) -> None:
    """Fetch a set, hold it against its sums, and only then replace both databases, each in one transaction.

    Raises:
        SystemExit: a dump is not what its sum says; nothing has been changed.
    """
    sums = client.get_object(Bucket=bucket, Key=f"{prefix}/{name}/{SUMS}")["Body"].read().decode()
    expected = {file: digest for digest, file in (line.split() for line in sums.splitlines())}
    for database in DATABASES:
        path = folder / f"{database}.dump"
        client.download_file(bucket, f"{prefix}/{name}/{path.name}", str(path))
        if _sha256(path) != expected[path.name]:
            raise SystemExit(f"{name}/{path.name} is damaged: its SHA-256 is not that of {SUMS}; take another set")
    for database in DATABASES:
        options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
        _run("pg_restore", *options, f"--dbname={database}", str(folder / f"{database}.dump"))


def _destination(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    if not address.startswith("s3://") or not bucket or not prefix:
        raise SystemExit(f"MLFLOW_BACKUP_DESTINATION is {address}; expected s3://bucket/prefix")
    return bucket, prefix


def _client() -> Any:
    import boto3
    from botocore.config import Config

    endpoint = os.environ.get("HAZARDLINE_S3_ENDPOINT") or None
    style = {"addressing_style": "path"} if endpoint else {}
    return boto3.client("s3", endpoint_url=endpoint, config=Config(s3=style))


def _run(*command: str, quiet: bool = False) -> None:
    output = subprocess.DEVNULL if quiet else None
    subprocess.run(command, check=True, stdout=output)  # noqa: S603 - no shell; names that this module has made


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    main(sys.argv[1:])
