"""Finds planted secrets in an image, whole: in names and contents of all files of all layers, and what Docker says."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Protocol

from tests.docker.daemon import CLIENT, Daemon
from tests.docker.planted import CANARY, CANARY_BYTES, MARK

CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Stream(Protocol):
    """What can be read once, from its beginning to its end."""

    def read(self, size: int, /) -> bytes: ...


class _Rest:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: Stream) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int, /) -> bytes:
        found, self._head = self._head[:size], self._head[size:]
        return found + self._rest.read(size - len(found))


def search_image(docker: Daemon, image: str) -> dict[str, set[bytes]]:
    """All places of an image, and of what Docker says of it, with the canaries that each holds.

    The archive of `docker save` is read as it comes, so that an image of any size takes no memory and no disk.
    """
    found = {}
    for words in (["history", "--no-trunc", image], ["inspect", image]):
        found[f"docker {words[0]}"] = canaries_in(io.BytesIO(docker.ask(*words).encode()))
    with subprocess.Popen([CLIENT, "save", image], env=docker.environment, stdout=subprocess.PIPE) as saved:
        assert saved.stdout is not None
        found |= search_archive(saved.stdout)
    assert saved.returncode == 0, f"docker save {image}: status {saved.returncode}"
    return found


def search_archive(stream: Stream) -> dict[str, set[bytes]]:
    """The same of an archive as `docker save` writes it: a tar with the layers, tars themselves, and their JSON."""
    found = dict(_of_archive(stream, ""))
    while stream.read(CHUNK_BYTES):  # what it is padded with: its writer waits until that is read
        pass
    return found


def _of_archive(stream: Stream, within: str) -> Iterator[tuple[str, set[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:  # type: ignore[call-overload]
        for member in archive:
            place = within + member.name.removeprefix("./")  # as an imported base has it
            header = f"{member.name}\n{member.linkname}\n{member.uname}\n{member.gname}\n{member.pax_headers}"
            yield f"header of {place}", canaries_in(io.BytesIO(header.encode(errors="surrogateescape")))
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            head = content.read(_BLOCK_BYTES)
            assert within or not head.startswith(_ZSTD), f"{place}: Python 3.11 cannot unpack it, so it is not searched"
            if not within and (head[257:262] == b"ustar" or head.startswith(_GZIP)):
                yield from _of_archive(_Rest(head, content), f"{place}: ")
            else:
                yield place, canaries_in(_Rest(head, content))


def canaries_in(stream: Stream) -> set[bytes]:
    """The canaries in a stream, also those across a border of what is read at a time."""
    found, window = set[bytes](), b""
    while chunk := stream.read(CHUNK_BYTES):
        window += chunk
        if MARK in window:  # a regular expression over everything takes several times as long
            found |= set(CANARY.findall(window))
        window = window[-(CANARY_BYTES - 1) :]
    return found
