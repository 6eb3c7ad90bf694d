"""What a recipe may name as its base: one type for all stages. Reads nothing, and needs neither torch nor a network."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

POCKETS: dict[str, str] = {"pocket": "checkpoint", "pocket-image": "image_checkpoint"}
"""Checkpoints inside the package, and their folders below `hazardline/pocket`."""
FORMS = "pocket, pocket-image, a folder, s3://bucket/prefix or hub:owner/name@commit"

_HUB_SCHEME = "hub:"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Base:
    """A base, taken apart.

    Attributes:
        kind: where it lies.
        place: folder inside the package, path, bucket, or `owner/name`.
        more: prefix of the bucket, or commit of the repository; empty for the others.
    """

    kind: Literal["package", "folder", "s3", "hub"]
    place: str
    more: str = ""


def parse_base(text: str) -> Base:
    """Take an address apart.

    Raises:
        ValueError: it has none of the forms, or weights of a hub that are not pinned by a full commit hash.
    """
    if text in POCKETS:
        return Base("package", POCKETS[text])
    if text.startswith(_HUB_SCHEME):
        repository, _, commit = text.removeprefix(_HUB_SCHEME).partition("@")
        if not _REPOSITORY.fullmatch(repository):
            raise ValueError(f"{text}: no repository of a hub; expected hub:owner/name@commit")
        if not _COMMIT.fullmatch(commit):
            raise ValueError(
                f"{text}: weights must be pinned by a commit of 40 hexadecimal digits, got {commit or 'none'!r}; find "
                f"it with `git ls-remote https://huggingface.co/{repository}`"
            )
        return Base("hub", repository, commit)
    if text.startswith("s3://"):
        parts = urlsplit(text)
        prefix = parts.path.strip("/")
        if not parts.netloc or not prefix or parts.query or parts.fragment:
            raise ValueError(f"{text}: expected s3://bucket/prefix")
        return Base("s3", parts.netloc, prefix)
    if not text.strip() or _SCHEME.match(text):
        raise ValueError(f"{text!r}: no base; expected {FORMS}")
    return Base("folder", text)


def _checked(text: str) -> str:
    parse_base(text)
    return text


BaseAddress = Annotated[str, AfterValidator(_checked)]
"""`pocket` or `pocket-image` for a checkpoint inside the package, a folder, `s3://bucket/prefix`, or weights of the
Hugging Face hub pinned by their commit, `hub:owner/name@0123...`."""
