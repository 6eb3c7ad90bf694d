"""A bundle as a folder: `manifest.json` and the files that it lists, and nothing else.

This module knows what a bundle's files must be, not what is in them: a device runs it before anything is opened,
and export and release run it before anything leaves.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import sha256_bytes, sha256_file
from hazardline.release.document import RelativePath, ReleaseFile, Sha256

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 22


class BundleError(UserError):
    """A bundle is not what its manifest says."""


class BundleFile(Document):
    """One file that the manifest lists. Further keys of the entry are the exporter's business."""

    model_config = ConfigDict(extra="ignore")

    path: RelativePath
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class _ManifestHead(Document):
    """The part of a manifest that concerns files."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(min_length=1)]
    version: str | int
    files: Annotated[tuple[BundleFile, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _files_are_distinct(self) -> "_ManifestHead":
        paths = [file.path for file in self.files]
        if len({path.lower() for path in (*paths, MANIFEST_NAME)}) != len(paths) + 1:
            raise ValueError(f"a file is listed twice, or {MANIFEST_NAME} lists itself")
        return self


@dataclass(frozen=True)
class BundleInfo:
    """A bundle whose files all are what the manifest says."""

    folder: Path
    name: str
    version: str
    manifest_sha256: str
    files: tuple[BundleFile, ...]
    """Without the manifest."""
    size_bytes: int
    """With the manifest."""


def verify_bundle(folder: Path) -> BundleInfo:
    """Check every file of a bundle: there, plain, no link, size and SHA-256 as listed; and that there is no other file.

    Raises:
        BundleError: the first thing that is wrong, with the name of the file.
    """
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file() or manifest.is_symlink():
        raise BundleError(f"{folder}: is not a bundle, it has no {MANIFEST_NAME}")
    if manifest.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{manifest}: larger than {MAX_MANIFEST_BYTES} bytes")
    data = manifest.read_bytes()
    try:
        head = _ManifestHead.parse_json(data, str(manifest))
    except UserError as error:
        raise BundleError(str(error)) from None
    verify_files(folder, head.files, also_allowed=(MANIFEST_NAME,))
    return BundleInfo(
        folder=folder,
        name=head.name,
        version=str(head.version),
        manifest_sha256=sha256_bytes(data),
        files=head.files,
        size_bytes=len(data) + sum(file.size_bytes for file in head.files),
    )


def verify_files(
    folder: Path, files: tuple[BundleFile, ...] | tuple[ReleaseFile, ...], also_allowed: tuple[str, ...] = ()
) -> None:
    """Check that a folder holds exactly these files, with these sizes and digests.

    Raises:
        BundleError: the first thing that is wrong, with the name of the file.
    """
    found = set(files_below(folder)) - set(also_allowed)
    unexpected = sorted(found - {file.path for file in files})
    if unexpected:
        raise BundleError(f"{folder / unexpected[0]}: is not listed; a bundle holds nothing but what it lists")
    for file in files:
        path = folder / file.path
        if file.path not in found:
            raise BundleError(f"{path}: is missing")
        size_bytes = path.stat().st_size
        if size_bytes != file.size_bytes:
            raise BundleError(f"{path}: has {size_bytes} bytes, expected {file.size_bytes}")
        if sha256_file(path) != file.sha256:
            raise BundleError(f"{path}: its content is not what was listed (SHA-256 differs)")


def files_below(folder: Path) -> list[str]:
    """Relative paths of all files below a folder.

    Raises:
        BundleError: something is neither a plain file nor a folder (a link, a pipe).
    """
    found = []
    for parent, folder_names, file_names in os.walk(folder):
        for name in (*folder_names, *file_names):
            path = Path(parent) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.append(path.relative_to(folder).as_posix())
            elif not stat.S_ISDIR(mode):
                raise BundleError(f"{path}: is neither a plain file nor a folder; a bundle holds no links")
    return sorted(found)
