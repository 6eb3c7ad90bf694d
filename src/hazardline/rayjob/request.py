"""What the component and the Ray cluster say to each other: a request, its progress, its result.

They meet in an *exchange*, a folder or an S3 prefix that both see, below a name of its own for every RayJob created, so
that nobody reads the result of an earlier one.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import write_atomic
from hazardline.s3 import clear_s3_errors, s3_client
from hazardline.store import Sha256, StageRecord

REQUEST_NAME = "request.json"
PROGRESS_NAME = "progress.json"
RESULT_NAME = "result.json"
_NAMES = (REQUEST_NAME, PROGRESS_NAME, RESULT_NAME)
"""The request goes first: who writes a result and then still finds the request knows that it will be removed."""


class StageRequest(Document):
    """A stage to be run in a Ray cluster."""

    version: Literal["stage-request@1"] = "stage-request@1"
    stage: str
    section: dict[str, Any]
    """The stage's recipe section, with its defaults."""
    inputs: dict[str, StageRecord]
    key: Sha256
    """Name of the output: the cache key that the component computed, which knows the image by its digest."""
    code: str
    """The component's code digest of the stage; the cluster's must be the same."""


class Progress(Document):
    """How far a stage is. Notes are all that were made so far."""

    phase: str = ""
    total: int = 0
    done: int = 0
    notes: list[str] = Field(default_factory=list)


class StageResult(Document):
    """How a request ended."""

    version: Literal["stage-result@1"] = "stage-result@1"
    state: Literal["made", "refused", "stopped", "defect"]
    """`refused`: the user can mend it, and another try would end alike. `stopped`: told to end, and can go on."""
    record: StageRecord | None = None
    """Of the output, where it was made."""
    error: str = ""
    """What was wrong; of a defect, its traceback."""


class Exchange(Protocol):
    """Small documents by name."""

    address: str

    def read(self, name: str) -> bytes | None:
        """A document, or None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Put a document, whole or not at all."""

    def clear(self) -> None:
        """Remove all of them."""


def open_exchange(address: str) -> Exchange:
    """The exchange at an absolute folder or `s3://bucket/prefix`.

    Raises:
        UserError: neither.
    """
    if address.startswith("s3://") and urlsplit(address).netloc:
        return S3Exchange(address)
    if address.startswith("/"):
        return FolderExchange(address)
    raise UserError(f"{address}: expected an absolute folder or s3://bucket/prefix, which the component and Ray see")


class FolderExchange:
    """Documents in a folder that both sides see."""

    def __init__(self, address: str) -> None:
        """Refer to a folder, which need not exist."""
        self.address = address
        self._folder = Path(address)

    def read(self, name: str) -> bytes | None:
        """The file's content."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write and rename."""
        write_atomic(self._folder / name, data)

    def clear(self) -> None:
        """Remove the three files, and the folder if nothing else is there."""
        for name in _NAMES:
            (self._folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()


class S3Exchange:
    """Documents below a prefix of a bucket."""

    def __init__(self, address: str) -> None:
        """Refer to a prefix."""
        self.address = address
        parts = urlsplit(address)
        self._bucket, self._prefix, self._client = parts.netloc, parts.path.strip("/"), s3_client(is_patient=True)

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{name}"}

    def read(self, name: str) -> bytes | None:
        """The object's content."""
        with clear_s3_errors(f"{self.address}/{name}"):
            try:
                found: bytes = self._client.get_object(**self._place(name))["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None
        return found

    def write(self, name: str, data: bytes) -> None:
        """Put the object."""
        with clear_s3_errors(f"{self.address}/{name}"):
            self._client.put_object(**self._place(name), Body=data)

    def clear(self) -> None:
        """Delete the three documents."""
        with clear_s3_errors(self.address):
            for name in _NAMES:
                self._client.delete_object(**self._place(name))
