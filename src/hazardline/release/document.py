"""What a release says: signed documents inside the TUF repository, and the target paths under which things are found.

    files/<model>/<sha256>               one file of a bundle, stored once however many releases hold it
    releases/<model>/<version>.json      a `Release`: what a bundle consists of; never changes
    channels/<model>/<channel>.json      a `Channel`: which release devices on it should run; the one thing that moves

No target path is ever made of a file name inside a bundle. Pure data without I/O: the publisher writes it, a device
reads it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline.documents import Document

RELEASE_NAME = "release.json"
_TOP_LEVEL_ROLES = ("root", "targets", "snapshot", "timestamp")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$", max_length=200)
]
"""A path below a folder that means the same everywhere: no `..`, no leading dot or slash, no blank, no backslash."""
PlainName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Name of a model or a channel; it becomes part of target paths and of a TUF role."""
Size = Annotated[int, Field(ge=0)]
ReleaseVersion = Annotated[int, Field(ge=1)]


class ReleaseFile(Document):
    """One file of a released bundle."""

    path: RelativePath
    sha256: Sha256
    size_bytes: Size


class Release(Document):
    """A bundle as it was released: complete, immutable, and signed by the model's key."""

    schema_version: Literal["release@1"] = "release@1"
    model: PlainName
    version: ReleaseVersion
    """Counts up by one with every release of a model."""
    bundle_name: str
    bundle_version: str
    """What the bundle's manifest calls itself."""
    manifest_sha256: Sha256
    """Digest of the bundle's manifest, and with it of every file."""
    files: Annotated[tuple[ReleaseFile, ...], Field(min_length=1)]
    """Every file, the manifest included, in the order of their paths."""
    released_at: str
    facts: dict[str, str] = Field(default_factory=dict)
    """Where the bundle comes from: registered model, version, run."""

    @model_validator(mode="after")
    def _files_are_distinct(self) -> Self:
        paths = [file.path for file in self.files]
        folded = {path.lower() for path in paths}
        if len(folded) != len(paths):
            raise ValueError("two files have the same path")
        parents = {path.rsplit("/", depth)[0].lower() for path in paths for depth in range(1, path.count("/") + 1)}
        if parents & folded:
            raise ValueError("a path is a file and a folder at once")
        return self

    def size_bytes(self) -> int:
        """Size of the whole bundle."""
        return sum(file.size_bytes for file in self.files)


class Channel(Document):
    """Which release the devices of a channel should run."""

    schema_version: Literal["channel@1"] = "channel@1"
    model: PlainName
    channel: PlainName
    version: ReleaseVersion
    release_sha256: Sha256
    """Digest of the release document's bytes."""
    is_rollback: bool = False
    """Only with this a device goes back to a version below the newest one that it has run."""
    reason: str = ""
    """Why, for people: the note of a rollback."""


class ReleaseReport(Document):
    """`release.json`, what the release stage hands on. It is not signed, and no device ever reads it."""

    schema_version: Literal["release-report@1"] = "release-report@1"
    released: bool
    reason: str
    """Why nothing was released, or what was done."""
    model: PlainName
    channel: PlainName
    version: int | None = None
    manifest_sha256: str | None = None
    repository: str | None = None
    """Folder or http(s) address from which devices fetch; None where nothing has ever been published."""
    root_sha256: str | None = None
    """Digest of `root.json` beside this report, the trust anchor for provisioning."""
    num_files: int = 0
    num_files_uploaded: int = 0
    size_bytes: int = 0


def file_target(model: str, sha256: str) -> str:
    """Target path of a bundle's file: its content's digest and nothing else."""
    return f"files/{model}/{sha256}"


def release_target(model: str, version: int) -> str:
    """Target path of a release document."""
    return f"releases/{model}/{version}.json"


def channel_target(model: str, channel: str) -> str:
    """Target path of a channel document."""
    return f"channels/{model}/{channel}.json"


def delegated_paths(model: str) -> list[str]:
    """Patterns of all target paths that a model's key may sign for."""
    return [f"files/{model}/*", f"releases/{model}/*", f"channels/{model}/*"]


def model_role(model: str) -> str:
    """Name of the delegated TUF role of a model; it can never be a top-level one."""
    role = f"model-{model}"
    assert role not in _TOP_LEVEL_ROLES
    return role
