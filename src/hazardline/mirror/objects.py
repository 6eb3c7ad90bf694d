"""Contents and documents below a prefix of an S3 bucket: what one machine has kept, and others fetch.

    <mirror>/objects/<ab>/<sha256>    a file, under the digest of its content; never changed, never removed
    <mirror>/<name>.json              documents, which name objects by digest and are written after them

Whoever holds a document finds what it names, whatever others write meanwhile (docs/adr/0020). Every file is compared
with its digest when it was fetched, and takes its name only then.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hazardline import environment
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import clear_when_full, sha256_file
from hazardline.progress import Reporter
from hazardline.s3 import clear_s3_errors, error_code, s3_client

_NUM_THREADS = 16
_PART_BYTES = 64 << 20
"""Larger files go in parts of this size, each retried by itself."""
_PARTS_AT_ONCE = 4
_WORTH_A_NOTE_BYTES = 100_000_000
_RIGHTS = "list, read and write"
_ABSENT = ("404", "NoSuchKey")

DocumentType = TypeVar("DocumentType", bound=Document)


@dataclass(frozen=True)
class Content:
    """A file on this machine, there or to be fetched, and what it must hold."""

    path: Path
    sha256: str


class DamagedObjectError(Exception):
    """An object is missing, or is not what its name says; the message names it."""


class Mirror:
    """A prefix of a bucket. Its methods may be called from several threads."""

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        """Refer to a prefix, which need not exist."""
        self._bucket, self._prefix, self._client = bucket, prefix, client
        self._damaged: set[str] = set()

    def address(self, name: str) -> str:
        """Full address of an object or document."""
        return f"s3://{self._bucket}/{self._key(name)}"

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def put(self, contents: Sequence[Content], reporter: Reporter, what: str) -> None:
        """Upload the contents that are not there yet, side by side.

        What was found damaged before is replaced. An upload that is cut off leaves whole objects, which the next one
        finds, and parts of one, which are no object.

        Args:
            contents: files that hold what is said of them.
            reporter: a unit a file.
            what: they are, for the user.

        Raises:
            UserError: S3 refuses, or cannot be reached after several tries.
        """
        self._transfer("upload", what, list({c.sha256: c for c in contents}.values()), self._put, reporter)

    def fetch(self, contents: Sequence[Content], reporter: Reporter, what: str) -> None:
        """Download contents to their paths, side by side; each file is checked before it takes its name.

        Args:
            contents: files to write; their folders are made.
            reporter: a unit a file.
            what: they are, for the user.

        Raises:
            DamagedObjectError: an object is missing or damaged. Other files may have been written.
            UserError: S3 refuses or cannot be reached after several tries, or the disk is full.
        """
        self._transfer("fetch", what, contents, self._fetch, reporter)

    def _transfer(
        self,
        verb: str,
        what: str,
        contents: Sequence[Content],
        one: Callable[[Content], int],
        reporter: Reporter,
    ) -> None:
        """Do the same with every content, and say how much was moved if it was much."""
        if not contents:
            return
        begin, num_bytes = time.monotonic(), 0
        reporter.phase(f"{verb} {what}", len(contents))
        with ThreadPoolExecutor(min(_NUM_THREADS, len(contents))) as pool:
            try:
                for done in as_completed([pool.submit(one, content) for content in contents]):
                    num_bytes += done.result()
                    reporter.advance()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if num_bytes >= _WORTH_A_NOTE_BYTES:
            took_s = time.monotonic() - begin
            reporter.note(f"{verb} {what}: {num_bytes / 1e6:,.0f} MB in {took_s:.0f} s, mirror {self.address('')}")

    def lacks(self, contents: Sequence[Content]) -> list[Content]:
        """Those contents that are not there, in their order.

        Raises:
            UserError: S3 refuses, or cannot be reached after several tries.
        """

        def is_absent(content: Content) -> bool:
            name = object_name(content.sha256)
            with clear_s3_errors(self.address(name)):
                return self._size_bytes(name) is None

        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            found = pool.map(is_absent, contents)
            return [content for content, absent in zip(contents, found, strict=True) if absent]

    def _put(self, content: Content) -> int:
        """Upload one content unless it is there; returns the bytes that went out."""
        name, size_bytes = object_name(content.sha256), content.path.stat().st_size
        with clear_s3_errors(self.address(name), _RIGHTS):
            if content.sha256 not in self._damaged and self._size_bytes(name) == size_bytes:
                return 0
            with content.path.open("rb") as stream:
                self._client.upload_fileobj(stream, self._bucket, self._key(name), Config=_transfer_config())
        self._damaged.discard(content.sha256)
        return size_bytes

    def _size_bytes(self, name: str) -> int | None:
        """Size of an object; None where there is none."""
        from botocore.exceptions import ClientError

        try:
            size_bytes: int = self._client.head_object(Bucket=self._bucket, Key=self._key(name))["ContentLength"]
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise
        return size_bytes

    def _fetch(self, content: Content) -> int:
        """Download one content; a second try tells a damaged object from a damaged transfer."""
        content.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            clear_when_full(str(content.path)),
            tempfile.TemporaryDirectory(prefix=".fetch-", suffix=".tmp", dir=content.path.parent) as folder,
        ):
            new = Path(folder) / "content"
            if not (self._download(content, new) or self._download(content, new)):
                self._damaged.add(content.sha256)
                raise DamagedObjectError(
                    f"{self.address(object_name(content.sha256))} is damaged: its content is not what its name says"
                )
            size_bytes = new.stat().st_size
            new.replace(content.path)
        return size_bytes

    def _download(self, content: Content, new: Path) -> bool:
        """Whether what came is what was wanted."""
        from botocore.exceptions import ClientError

        name = object_name(content.sha256)
        with clear_s3_errors(self.address(name)), new.open("wb") as stream:
            try:
                self._client.download_fileobj(self._bucket, self._key(name), stream, Config=_transfer_config())
            except ClientError as error:
                if error_code(error) not in _ABSENT:
                    raise
                raise DamagedObjectError(f"{self.address(name)} is missing") from None
            stream.flush()
            os.fsync(stream.fileno())
        return sha256_file(new) == content.sha256

    def put_document(self, name: str, document: Document) -> None:
        """Write a document, at once and whole; the last one counts. What it names is uploaded before.

        Raises:
            UserError: S3 refuses, or cannot be reached after several tries.
        """
        with clear_s3_errors(self.address(name), _RIGHTS):
            body = document.model_dump_json().encode()
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=body)

    def document(self, name: str, kind: type[DocumentType]) -> DocumentType | None:
        """A document, or None where there is none.

        Raises:
            UserError: it is no such document, or S3 refuses or cannot be reached.
        """
        from botocore.exceptions import ClientError

        with clear_s3_errors(self.address(name)):
            try:
                body: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
            except ClientError as error:
                if error_code(error) in _ABSENT:
                    return None
                raise
        return kind.parse_json(body, self.address(name))


def object_name(sha256: str) -> str:
    """Where a content lies below the mirror."""
    return f"objects/{sha256[:2]}/{sha256}"


def open_mirror() -> Mirror | None:
    """The mirror of the environment; None where there is none.

    Raises:
        UserError: its address is none of S3.
    """
    address = environment.store_mirror()
    if address is None:
        return None
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise UserError(f"{environment.STORE_MIRROR}={address}: expected s3://bucket/prefix")
    client = s3_client(max_connections=_NUM_THREADS * _PARTS_AT_ONCE, is_patient=True)
    return Mirror(parts.netloc, parts.path.strip("/"), client)


def _transfer_config() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
    )
