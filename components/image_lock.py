"""From an image's name in `docker/images.lock.yaml` to what a cluster pulls: registry, name and digest, never a tag."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hazardline.documents import Document, read_yaml
from hazardline.errors import UserError

LOCK_PATH = Path(__file__).parents[1] / "docker" / "images.lock.yaml"
_DIGEST = r"sha256:[0-9a-f]{64}"

Digest = Annotated[str, Field(pattern=rf"^{_DIGEST}$")]
Registry = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)*$")]
"""A host, its port if need be, and a path: `registry.example:5000/vision`."""


class LockedImage(Document):
    """An image of this repository."""

    dockerfile: str
    pushed: Digest | None = Field(alias="digest")
    """None: it was not pushed yet."""


class LockedBase(Document):
    """An image that ours are built from."""

    image: str
    """Where it is pulled from, without tag and digest."""
    argument: str
    """The build argument that takes it."""
    pinned: Digest | None = Field(alias="digest")


class ImageLock(Document):
    """`docker/images.lock.yaml`."""

    registry: Registry | None
    """Where the images were pushed to; None: nowhere yet."""
    images: dict[str, LockedImage]
    bases: dict[str, LockedBase]


def read_lock(path: Path = LOCK_PATH) -> ImageLock:
    """Read a lock file.

    Raises:
        UserError: one line a problem.
    """
    return ImageLock.parse(read_yaml(path), str(path))


def parse_digests(given: Iterable[str], option: str = "--image-digest") -> dict[str, str]:
    """Digests given by hand as an option, `NAME=sha256:...`, by name.

    Raises:
        UserError: another form, or a name that is given twice.
    """
    found: dict[str, str] = {}
    for item in given:
        name, _, digest = item.partition("=")
        if not name or not re.fullmatch(_DIGEST, digest):
            raise UserError(f"{option} {item}: expected NAME=sha256: and 64 hexadecimal digits")
        if name in found:
            raise UserError(f"{option} {item}: {name} is given twice")
        found[name] = digest
    return found


def references(
    names: Iterable[str], lock: ImageLock, origin: str, digests: Mapping[str, str], registry: str | None
) -> dict[str, str]:
    """What a cluster pulls for each image: `registry/name@sha256:...`.

    Args:
        names: names of the images that are wanted.
        lock: the lock.
        origin: where the lock was read from, for messages.
        digests: digests given by hand; they go before the lock's.
        registry: the same for the registry.

    Raises:
        UserError: an image is not in the lock, or nobody has said which digest it has, or where it is.
    """
    wanted = sorted(set(names))
    unknown = sorted((set(wanted) | set(digests)) - set(lock.images))
    if unknown:
        raise UserError(f"{origin}: has no image {unknown[0]}; it has {', '.join(sorted(lock.images))}")
    place = registry or lock.registry
    if place is None:
        raise UserError(
            f"{origin}: registry is null, so nobody has said where the images are; push them and write the registry "
            "there, or give --registry HOST/PATH"
        )
    found = {}
    for name in wanted:
        digest = digests.get(name) or lock.images[name].pushed
        if digest is None:
            raise UserError(
                f"{origin}: {name} has no digest, so it was not pushed yet; push it and write its digest there, or "
                f"give --image-digest {name}=sha256:..., or another lock file with --lock"
            )
        found[name] = f"{place}/{name}@{digest}"
    return found
