"""From the address of a base to a folder on this machine, below HAZARDLINE_HOME. Needs no torch.

What comes from elsewhere is data alone: safetensors, JSON, tokenizer text. A folder gets its name when it is whole.
What an earlier try has left is gone on from. Weights as they were published get what the line needs beside them: the
names of transformers' native class, and a layout (`hazardline.bases.published`).
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hazardline.bases import hub, s3_prefix
from hazardline.bases.address import Base
from hazardline.bases.published import complete
from hazardline.documents import Document
from hazardline.environment import home
from hazardline.errors import UserError
from hazardline.files import digest_json, sync_tree

BASES_FOLDER = "bases"
ORIGIN_NAME = "origin.json"
WANTED = ("*.json", "*.safetensors", "*.jinja", "merges.txt", "LICENSE*", "README.md", "SHA256SUMS")
"""Files that a base may consist of. No pickles and no code: neither is ever needed to load a native class."""


class Origin(Document):
    """Where a folder of the cache comes from, and what it holds."""

    version: Literal["base_origin@1"] = "base_origin@1"
    address: str
    size_bytes: dict[str, int]
    """By file name."""


def fetch_base(base: Base) -> Path:
    """The folder of a base that lies in S3 or on a hub, fetched where it is not there yet.

    Raises:
        UserError: it cannot be reached, is not what it was announced to be, or is no checkpoint.
    """
    if base.kind == "s3":
        objects = s3_prefix.list_objects(base.place, base.more, WANTED)
        name = f"s3--{base.place}--{digest_json([[o.name, o.size_bytes, o.etag] for o in objects])[:16]}"
        address = f"s3://{base.place}/{base.more}"
        return _cached(name, address, lambda making: s3_prefix.download(base.place, objects, making))
    assert base.kind == "hub"
    name = f"hub--{base.place.replace('/', '--')}--{base.more}"
    address = f"hub:{base.place}@{base.more}"
    return _cached(name, address, lambda making: _take(hub.snapshot(base.place, base.more, WANTED), making))


def prepare_folder(folder: Path) -> Path:
    """A folder with published weights, with what they lack: the folder itself where nothing is missing.

    The user's folder is left as it is; a copy of links is made in the cache.
    """
    files = _files(folder)
    key = digest_json([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])[:16]
    return _cached(f"folder--{folder.name}--{key}", str(folder), lambda making: _take(folder, making))


def _cached(name: str, address: str, fill: Callable[[Path], None]) -> Path:
    final = home() / BASES_FOLDER / name
    making = final.with_name(f".{name}.making")
    with _alone(final.with_name(f".{name}.lock")):
        if _is_whole(final):
            return final
        shutil.rmtree(final, ignore_errors=True)
        making.mkdir(exist_ok=True)
        fill(making)
        complete(making, address)
        sizes = {path.name: path.stat().st_size for path in _files(making)}
        Origin(address=address, size_bytes=sizes).write(making / ORIGIN_NAME)
        sync_tree(making)
        making.rename(final)
    return final


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time fetch a base; the others find it finished."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _is_whole(folder: Path) -> bool:
    """Whether the folder holds what was fetched, by names and sizes: digests are taken where a base is used."""
    if not (folder / ORIGIN_NAME).is_file():
        return False
    try:
        expected = Origin.read(folder / ORIGIN_NAME).size_bytes
    except UserError:
        return False
    return {path.name: path.stat().st_size for path in _files(folder)} == expected


def _files(folder: Path) -> list[Path]:
    found = {path for pattern in WANTED for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.name != ORIGIN_NAME)


def _take(source: Path, making: Path) -> None:
    """Link a folder's files, or copy them where a link cannot be: nothing here writes into a file that is there."""
    for path in _files(source):
        target = making / path.name
        target.unlink(missing_ok=True)
        try:
            os.link(path.resolve(), target)
        except OSError:  # another file system
            shutil.copyfile(path, target)
