"""Fetches objects of S3: in ranges, each retried, and only while the entity tag is the one that was listed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import HTTPError

from hazardline.datasets.store import DatasetStore
from hazardline.ingest.frame_folder import in_order, write_video
from hazardline.ingest.place import Media
from hazardline.s3 import clear_s3_errors, s3_client

RANGE_BYTES = 16 << 20
_MAX_ATTEMPTS = 6
_RETRIED = (HTTPClientError, IncompleteReadError, HTTPError, ConnectionError, TimeoutError)


class ObjectChangedError(OSError):
    """An object is no longer what was listed."""


def fetch_object(bucket: str, key: str, etag: str, target: Path) -> None:
    """Fetch an object into a file, which appears whole or not at all.

    Raises:
        ObjectChangedError: it has another entity tag by now.
        UserError: S3 refuses, or cannot be reached after several tries.
    """
    client = s3_client()
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream, clear_s3_errors(f"s3://{bucket}/{key}"):
            total = _next_range(client, bucket, key, etag, stream)
            while stream.tell() < total:
                total = _next_range(client, bucket, key, etag, stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _next_range(client: Any, bucket: str, key: str, etag: str, stream: BinaryIO) -> int:
    """Append the next bytes of an object; returns its whole length. What a broken try has written is kept."""
    for attempt in Retrying(
        stop=stop_after_attempt(_MAX_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=20),
        retry=retry_if_exception_type(_RETRIED),
        reraise=True,
    ):
        with attempt:
            return _get_range(client, bucket, key, etag, stream)
    raise AssertionError("the last attempt returns or raises")


def _get_range(client: Any, bucket: str, key: str, etag: str, stream: BinaryIO) -> int:
    begin = stream.tell()
    span = f"bytes={begin}-{begin + RANGE_BYTES - 1}"
    try:
        answer = client.get_object(Bucket=bucket, Key=key, Range=span, IfMatch=f'"{etag}"')
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("PreconditionFailed", "412"):
            raise ObjectChangedError(f"s3://{bucket}/{key} changed since it was listed; run again") from None
        if code in ("InvalidRange", "416") and begin == 0:  # an empty object has no range
            return 0
        raise
    said = answer.get("ContentRange")  # absent where a server sends the whole object
    total = int(said.rpartition("/")[2]) if said else int(answer["ContentLength"])
    for chunk in answer["Body"].iter_chunks(1 << 20):
        stream.write(chunk)
    if stream.tell() < min(begin + RANGE_BYTES, total):
        raise ConnectionError(f"s3://{bucket}/{key}: the answer ended after {stream.tell()} of {total} bytes")
    return total


@contextmanager
def fetched(media: Media, store: DatasetStore) -> Iterator[tuple[Path, str]]:
    """A clip's file in the store, fetched, and its digest; frames are fetched beside it and made into one file."""
    parts = urlsplit(media.where)
    bucket, key = parts.netloc, media.where.removeprefix(f"s3://{parts.netloc}/")
    with store.new_media() as new:
        if media.kind == "s3":
            etag = media.stamp.partition(" ")[2]
            fetch_object(bucket, key, etag, new)
            yield store.keep_media(new, media.suffix)
            return
        assert media.fps is not None
        with tempfile.TemporaryDirectory(prefix=".frames.", suffix=".tmp", dir=new.parent) as folder:
            names = _fetch_folder(bucket, key, Path(folder))
            write_video([Path(folder) / name for name in names], media.fps, new)
        yield store.keep_media(new, media.suffix)


def _fetch_folder(bucket: str, prefix: str, folder: Path) -> list[str]:
    """The frames directly below a prefix, by their numbers; local names are made of numbers and suffixes alone."""
    found: dict[str, str] = {}
    with clear_s3_errors(f"s3://{bucket}/{prefix}"):
        for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            found |= {i["Key"].removeprefix(prefix): i["ETag"].strip('"') for i in page.get("Contents", [])}
    names = []
    for number, name in enumerate(in_order(list(found))):
        local = f"{number:08}{PurePosixPath(name).suffix.lower()}"
        fetch_object(bucket, prefix + name, found[name], folder / local)
        names.append(local)
    return names
