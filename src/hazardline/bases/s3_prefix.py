"""A base below a prefix of an S3 bucket.

The listing (names, sizes, entity tags) names the copy in the cache, so that another upload under the same prefix is
another base. Where `SHA256SUMS` lies beside the files (as `sha256sum * > SHA256SUMS` writes it), every file is checked
against it; otherwise by its size, and by the checksum that S3 keeps where the upload gave one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import sha256_file
from hazardline.s3 import clear_s3_errors, s3_client

SUMS_NAME = "SHA256SUMS"


@dataclass(frozen=True)
class RemoteFile:
    """An object of the prefix."""

    key: str
    name: str
    size_bytes: int
    etag: str


def list_objects(bucket: str, prefix: str, wanted: Sequence[str]) -> list[RemoteFile]:
    """Objects directly below the prefix whose names fit, in name order.

    Raises:
        UserError: the bucket cannot be read, or nothing there fits.
    """
    begin = f"{prefix}/"
    with clear_s3_errors(f"s3://{bucket}/{prefix}"):
        pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=begin)
        items: list[dict[str, Any]] = [item for page in pages for item in page.get("Contents", [])]
    found = [RemoteFile(i["Key"], i["Key"].removeprefix(begin), i["Size"], i["ETag"].strip('"')) for i in items]
    fitting = [file for file in found if "/" not in file.name and any(fnmatch(file.name, form) for form in wanted)]
    if not fitting:
        raise UserError(
            f"s3://{bucket}/{prefix}: {len(items)} objects, none of a base; expected config.json, tokenizer.json and "
            "model*.safetensors directly below the prefix"
        )
    return sorted(fitting, key=lambda file: file.name)


def download(bucket: str, files: Sequence[RemoteFile], folder: Path) -> None:
    """Download what a folder lacks, and check it.

    Raises:
        UserError: the bucket cannot be read, or a file is not what was announced.
    """
    client = s3_client()
    for file in files:
        target = folder / file.name
        if target.is_file() and target.stat().st_size == file.size_bytes:
            continue  # of an earlier try: boto3 renames a file when it is whole
        with clear_s3_errors(f"s3://{bucket}/{file.key}"):
            client.download_file(bucket, file.key, str(target))
        if target.stat().st_size != file.size_bytes:
            target.unlink()
            raise UserError(f"s3://{bucket}/{file.key}: changed while it was fetched; run again")
    _check_sums(folder, bucket)


def _check_sums(folder: Path, bucket: str) -> None:
    if not (folder / SUMS_NAME).is_file():
        return
    lines = (folder / SUMS_NAME).read_text(encoding="utf-8").splitlines()
    parted = (line.partition(" ") for line in lines)
    sums = {name.strip().removeprefix("*").removeprefix("./"): digest for digest, _, name in parted}
    for path in sorted(folder.iterdir()):
        if path.name == SUMS_NAME or path.name.startswith("."):
            continue
        if sums.get(path.name) != sha256_file(path):
            path.unlink()
            raise UserError(
                f"s3://{bucket}: {path.name} is not what {SUMS_NAME} lists; upload it again, or the list anew"
            )
