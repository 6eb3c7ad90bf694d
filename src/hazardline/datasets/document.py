"""What a data set's version says of itself (`version.json`)."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.files import digest_json
from hazardline.store import Sha256, StoredFile

DatasetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]


class Changes(Document):
    """Clips against the parent version; `changed` has another file or another annotation under the same id."""

    num_added: int
    num_changed: int
    num_removed: int
    num_unchanged: int


class SourceRoot(Document):
    """Where clips of a version came from."""

    source: str
    root: str


class DatasetVersion(Document):
    """One state of a data set. It never changes: another state is another version, with this one as its parent."""

    version: Literal["dataset@1"] = "dataset@1"
    name: DatasetName
    version_id: Sha256
    """Digest of `content_digest` and `parent`."""
    parent: Sha256 | None
    content_digest: Sha256
    """Digest of all clips: their bytes and annotations, wherever the files lie."""
    sources: tuple[SourceRoot, ...]
    created_at: str
    """UTC, ISO 8601."""
    num_clips: int
    num_quarantined: int
    by_label: dict[str, int]
    by_source: dict[str, int]
    by_reason: dict[str, int]
    changes: Changes
    files: dict[str, StoredFile]
    """Every other file of the version's folder."""

    @property
    def layouts(self) -> tuple[str, ...]:
        """The data sets that it was read from, each once."""
        return tuple(dict.fromkeys(source.source for source in self.sources))


def version_id(content_digest: str, parent: str | None) -> str:
    """The name of a version: what it holds, and what it came after."""
    return digest_json({"content": content_digest, "parent": parent})
