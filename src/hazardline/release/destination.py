"""Where a repository is published: a folder or an S3 bucket, behind the few operations that publishing needs.

Everything but the timestamp is written once and never changed, so that a publisher that is cut off leaves nothing
that a reader sees. `commit` replaces the timestamp only if nobody else has done so in the meantime.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from hazardline import environment
from hazardline.errors import UserError
from hazardline.files import sha256_bytes, sha256_file, write_atomic
from hazardline.s3 import s3_client

TIMESTAMP = "metadata/timestamp.json"
_IMMUTABLE = "public, max-age=31536000, immutable"
_CONFLICT_CODES = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_MISSING_CODES = ("NoSuchKey", "404", "NotFound")


class PublishConflictError(UserError):
    """Somebody else published at the same time; nothing of this release can be seen."""


@dataclass(frozen=True)
class Stamp:
    """The timestamp as it lies at the destination, with a tag that changes when it does."""

    data: bytes
    tag: str


class Destination(Protocol):
    """A place that holds `metadata/` and `targets/`. Names are relative, with slashes."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other publishers out as far as the place can; raises PublishConflictError where one is at work."""
        ...

    def address(self) -> str:
        """Where devices find it: an absolute folder, or an http(s) address."""
        ...

    def stamp(self) -> Stamp | None:
        """The committed timestamp, if anything has been committed."""
        ...

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, without it."""
        ...

    def add(self, name: str, data: bytes) -> None:
        """Write a file that never changes; raises PublishConflictError where it exists with other content."""
        ...

    def add_file(self, name: str, source: Path, sha256: str) -> bool:
        """Copy a file that is named by its content; False where it was there already."""
        ...

    def commit(self, data: bytes, previous: Stamp | None) -> None:
        """Replace the timestamp; raises PublishConflictError where it is not `previous` any more."""
        ...


def open_destination(address: str, public_url: str | None = None) -> Destination:
    """The destination of an address: a folder or `s3://bucket/prefix`.

    Raises:
        UserError: neither.
    """
    if address.startswith("s3://"):
        return S3Destination(address, public_url, environment.s3_endpoint())
    if "://" in address:
        raise UserError(f"release.destination: {address}: expected a folder or s3://bucket/prefix")
    return FolderDestination(Path(address).absolute(), public_url)


class FolderDestination:
    """A folder of this machine, or one that a web server shows. Writes are atomic and flushed."""

    def __init__(self, root: Path, public_url: str | None = None) -> None:
        """Refer to a folder, which need not exist yet."""
        self._root = root
        self._public_url = public_url

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the folder's lock, which the kernel drops with the process."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".publishing.lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PublishConflictError(
                    f"{self._root}: another publisher is at work here; wait for it and run the release again"
                ) from None
            yield

    def address(self) -> str:
        """The absolute folder, unless another address was given."""
        return self._public_url or str(self._root)

    def stamp(self) -> Stamp | None:
        """The committed timestamp."""
        data = self.read(TIMESTAMP)
        return None if data is None else Stamp(data, sha256_bytes(data))

    def read(self, name: str) -> bytes | None:
        """Content of a file."""
        path = self._root / name
        return path.read_bytes() if path.is_file() else None

    def names(self, folder: str) -> list[str]:
        """Names in a folder."""
        path = self._root / folder
        return sorted(p.name for p in path.iterdir() if p.is_file()) if path.is_dir() else []

    def add(self, name: str, data: bytes) -> None:
        """Write a file once."""
        present = self.read(name)
        if present is None:
            write_atomic(self._root / name, data)
        elif present != data:
            raise _changed_meanwhile(str(self._root / name))

    def add_file(self, name: str, source: Path, sha256: str) -> bool:
        """Copy a file, unless its content lies there already (a damaged copy is replaced)."""
        path = self._root / name
        if path.is_file() and sha256_file(path) == sha256:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, making = tempfile.mkstemp(prefix=f".{path.name[:16]}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as target, source.open("rb") as stream:
                shutil.copyfileobj(stream, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
            Path(making).chmod(0o644)
            Path(making).replace(path)
        except BaseException:
            Path(making).unlink(missing_ok=True)
            raise
        return True

    def commit(self, data: bytes, previous: Stamp | None) -> None:
        """Replace the timestamp."""
        if self.stamp() != previous:
            raise _changed_meanwhile(str(self._root / TIMESTAMP))
        write_atomic(self._root / TIMESTAMP, data)


class S3Destination:
    """A prefix of a bucket. Conditional writes take the place of a lock: the second publisher is told."""

    def __init__(self, address: str, public_url: str | None, endpoint: str | None) -> None:
        """Connect to `s3://bucket/prefix`.

        Raises:
            UserError: the address names no bucket.
        """
        parts = urlsplit(address)
        if not parts.netloc:
            raise UserError(f"release.destination: {address}: expected s3://bucket/prefix")
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._public_url, self._endpoint = public_url, endpoint
        self._client = s3_client(endpoint)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Nothing to hold: `add` and `commit` notice another publisher. Errors of the service become UserErrors."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            where = self._endpoint or "Amazon S3"
            raise UserError(
                f"s3://{self._bucket}/{self._prefix}: publishing to {where} failed ({error}); nothing of this release "
                f"can be seen. Check {environment.S3_ENDPOINT}, the credentials and the bucket, and release again"
            ) from None

    def address(self) -> str:
        """The http(s) address of the prefix, as the endpoint would serve it to everyone."""
        if self._public_url:
            return self._public_url
        path = f"/{self._prefix}" if self._prefix else ""
        if self._endpoint:
            return f"{self._endpoint.rstrip('/')}/{self._bucket}{path}"
        return f"https://{self._bucket}.s3.amazonaws.com{path}"

    def stamp(self) -> Stamp | None:
        """The committed timestamp with its entity tag."""
        found = self._get(TIMESTAMP)
        return None if found is None else Stamp(found["Body"].read(), str(found["ETag"]))

    def read(self, name: str) -> bytes | None:
        """Content of an object."""
        found = self._get(name)
        return None if found is None else bytes(found["Body"].read())

    def names(self, folder: str) -> list[str]:
        """Names of the objects directly below a prefix."""
        prefix = self._key(folder) + "/"
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        return sorted(item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", []))

    def add(self, name: str, data: bytes) -> None:
        """Write an object once, on the condition that it does not exist."""
        if not self._put(name, data, _IMMUTABLE, {"IfNoneMatch": "*"}) and self.read(name) != data:
            raise _changed_meanwhile(f"s3://{self._bucket}/{self._key(name)}")

    def add_file(self, name: str, source: Path, sha256: str) -> bool:
        """Upload a file in parts, unless an object with that size and recorded digest is there."""
        from botocore.exceptions import ClientError

        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
            if head["ContentLength"] == source.stat().st_size and head["Metadata"].get("sha256") == sha256:
                return False
        except ClientError as error:
            if _code(error) not in _MISSING_CODES:
                raise
        self._client.upload_file(
            str(source),
            self._bucket,
            self._key(name),
            ExtraArgs={"CacheControl": _IMMUTABLE, "Metadata": {"sha256": sha256}},
        )
        return True

    def commit(self, data: bytes, previous: Stamp | None) -> None:
        """Replace the timestamp, on the condition that it is still the one that was read."""
        condition = {"IfNoneMatch": "*"} if previous is None else {"IfMatch": previous.tag}
        if not self._put(TIMESTAMP, data, "no-cache", condition):
            raise _changed_meanwhile(f"s3://{self._bucket}/{self._key(TIMESTAMP)}")

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _get(self, name: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self._client.get_object(Bucket=self._bucket, Key=self._key(name))
        except ClientError as error:
            if _code(error) in _MISSING_CODES:
                return None
            raise

    def _put(self, name: str, data: bytes, cache_control: str, condition: dict[str, str]) -> bool:
        """Whether the condition held and the object was written."""
        from botocore.exceptions import ClientError

        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(name),
                Body=data,
                CacheControl=cache_control,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if _code(error) in _CONFLICT_CODES:
                return False
            raise
        return True


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _changed_meanwhile(what: str) -> PublishConflictError:
    return PublishConflictError(
        f"{what}: another publisher has written here in the meantime; nothing of this release can be seen, run the "
        "release again"
    )
