"""Fetching a release: The Update Framework decides what is genuine, this module moves bytes.

Metadata goes through python-tuf's `ngclient.Updater`, always with the provisioned root as `bootstrap`. Target files are
downloaded here rather than by the Updater, which knows no resuming: the part that is there is kept, the rest is asked
for with a range request, and the whole is held against the signed length and hash before it gets its name.
"""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from hazardline.device.config import FetchLimits
from hazardline.device.state import DeviceFolder
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import path_inside, sha256_bytes, sync_tree
from hazardline.release.document import (
    Channel,
    Release,
    ReleaseFile,
    channel_target,
    file_target,
    release_target,
)

_CHUNK_BYTES = 1 << 16
_MAX_DOCUMENT_BYTES = 1 << 22
_log = logging.getLogger(__name__)

D = TypeVar("D", bound=Document)


class FetchError(UserError):
    """A release could not be fetched, or is not genuine. `kind` is the name of the update framework's error."""

    def __init__(self, kind: str, message: str) -> None:
        """Remember the kind."""
        super().__init__(message)
        self.kind = kind


class Transport(Protocol):
    """Bytes of an address, from an offset on."""

    def fetch_from(self, url: str, offset: int) -> tuple[int, Iterator[bytes]]:
        """Start at `offset` if the other side can, else at 0; says where it starts.

        Raises:
            DownloadError: not there, or not reachable.
        """
        ...


class FolderFetcher(FetcherInterface):
    """A repository in a folder, addressed as file://. Nothing outside of the folder is read."""

    def __init__(self, root: Path) -> None:
        """Serve the files below a folder."""
        self._root = root

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.fetch_from(url, 0)[1]

    def fetch_from(self, url: str, offset: int) -> tuple[int, Iterator[bytes]]:
        """Bytes of a file from an offset on."""
        wanted = Path(unquote(urlsplit(url).path))
        inside = wanted.is_relative_to(self._root) and path_inside(self._root, str(wanted.relative_to(self._root)))
        if not inside or not inside.is_file():
            raise DownloadHTTPError(f"{wanted}: no such file in the repository", 404)
        return offset, self._chunks(inside, offset)

    def _chunks(self, path: Path, offset: int) -> Iterator[bytes]:
        with path.open("rb") as stream:
            stream.seek(offset)
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk


class HttpFetcher(FetcherInterface):
    """A repository behind http(s), read with range requests; proxies as the environment says."""

    def __init__(self, url: str, socket_timeout_s: float) -> None:
        """Prepare connections to the server of an address."""
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme)
        # Every retry is this module's: a retry inside of urllib3 would start a file from its beginning.
        options = {"retries": False, "timeout": urllib3.Timeout(socket_timeout_s), "maxsize": 1}
        if proxy and not proxy_bypass(parts.hostname or ""):
            self._pool: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)  # type: ignore[arg-type]
        else:
            self._pool = urllib3.PoolManager(**options)  # type: ignore[arg-type]

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.fetch_from(url, 0)[1]

    def fetch_from(self, url: str, offset: int) -> tuple[int, Iterator[bytes]]:
        """Bytes of a resource from an offset on."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            response = self._pool.request(
                "GET", url, headers=headers | {"Accept-Encoding": "identity"}, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            # A refused connection is a kind of timeout to urllib3.
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
                raise SlowRetrievalError(f"{url}: no answer in time") from error
            raise DownloadError(f"{url}: {error}") from error
        if response.status not in (200, 206):
            response.close()
            raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if response.status == 206 and not resumes:
            response.close()
            raise DownloadError(f"{url}: the server sent another range than the one asked for")
        return (offset if resumes else 0), self._chunks(url, response)

    def _chunks(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from response.stream(_CHUNK_BYTES)
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: the server stopped sending") from error
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url}: the connection broke ({error})") from error
        finally:
            response.close()


@dataclass(frozen=True)
class Offer:
    """What a channel offers: signed, complete, and not yet downloaded."""

    channel: Channel
    release: Release
    release_sha256: str


class ReleaseSource:
    """A repository as one device sees it."""

    def __init__(self, repository: str, device: DeviceFolder, limits: FetchLimits) -> None:
        """Load the trust anchor. Nothing is fetched yet.

        Args:
            repository: folder, file:// or http(s) address.
            device: folder of the device, provisioned.
            limits: attempts and timeouts.

        Raises:
            UserError: the address is of no known kind.
            FetchError: the trust anchor is no valid root.
        """
        base = _base_url(repository)
        self._limits = limits
        self._targets_url = f"{base}/targets/"
        self._device = device
        self._fetcher: FolderFetcher | HttpFetcher
        if base.startswith("file://"):
            self._fetcher = FolderFetcher(Path(unquote(urlsplit(base).path)))
        else:
            self._fetcher = HttpFetcher(base, limits.socket_timeout_s)
        try:
            self._updater = Updater(
                metadata_dir=str(device.metadata),
                metadata_base_url=f"{base}/metadata/",
                fetcher=self._fetcher,
                config=UpdaterConfig(),
                bootstrap=device.anchor.read_bytes(),
            )
        except RepositoryError as error:
            raise _refused("trust anchor", error) from error

    def offer(self, model: str, channel: str) -> Offer:
        """What the channel points to now.

        Raises:
            FetchError: not reachable, not genuine, expired, older than what was seen before, or not there.
        """
        try:
            self._refresh()
            pointer, _ = self._document(channel_target(model, channel), Channel)
            release, digest = self._document(release_target(model, pointer.version), Release)
        finally:
            # The versions that were seen protect against old metadata: they must survive a power cut.
            sync_tree(self._device.metadata)
        if (pointer.model, pointer.channel) != (model, channel) or release.model != model:
            raise FetchError("MixedUp", f"channel {channel} of {model} leads to documents of another channel or model")
        if digest != pointer.release_sha256 or release.version != pointer.version:
            raise FetchError("MixedUp", f"channel {channel} does not name the release document that it leads to")
        return Offer(pointer, release, digest)

    def fetch(self, model: str, file: ReleaseFile, destination: Path) -> None:
        """Download one file of a release, taking up where an earlier download broke off; verified before it is named.

        Raises:
            FetchError: not reachable, or not what was signed.
            OSError: the disk is full.
        """
        try:
            info = self._target(file_target(model, file.sha256))
            if info.length != file.size_bytes or info.hashes.get("sha256") != file.sha256:
                raise FetchError("MixedUp", f"{file.path}: release and targets metadata contradict each other")
            part = self._device.downloads / f"{file.sha256}.part"
            self._download(info, part)
            part.replace(destination)
        except (RepositoryError, DownloadError) as error:
            raise _refused(file.path, error) from error

    def _refresh(self) -> None:
        try:
            self._updater.refresh()
        except (RepositoryError, DownloadError) as error:
            raise _refused("metadata", error) from error

    def _target(self, path: str) -> TargetFile:
        try:
            info = self._updater.get_targetinfo(path)
        except (RepositoryError, DownloadError) as error:
            raise _refused(path, error) from error
        if info is None:
            raise FetchError(
                "NoSuchTarget", f"{path}: the repository has no such target, or its key may not sign for it"
            )
        return info

    def _document(self, path: str, kind: type[D]) -> tuple[D, str]:
        info = self._target(path)
        if info.length > _MAX_DOCUMENT_BYTES:
            raise FetchError("TooLarge", f"{path}: a document of {info.length} bytes")
        try:
            data = self._fetcher.download_bytes(self._url(info), info.length)
            info.verify_length_and_hashes(data)
        except (RepositoryError, DownloadError) as error:
            raise _refused(path, error) from error
        try:
            return kind.parse_json(data, path), sha256_bytes(data)
        except UserError as error:
            raise FetchError("MalformedDocument", str(error)) from None

    def _url(self, info: TargetFile) -> str:
        return self._targets_url + info.get_prefixed_paths()[0]

    def _download(self, info: TargetFile, part: Path) -> None:
        """Complete `part` and verify it; what does not verify is removed, and fetched whole once if it was resumed."""
        was_resumed = part.exists()
        self._complete(self._url(info), part, info.length)
        try:
            _verify(info, part)
        except LengthOrHashMismatchError:
            part.unlink()
            if not was_resumed:
                raise
            _log.warning("%s: what was left of an earlier download is damaged; fetching it whole", info.path)
            self._complete(self._url(info), part, info.length)
            try:
                _verify(info, part)
            except LengthOrHashMismatchError:
                part.unlink()
                raise

    def _complete(self, url: str, part: Path, length: int) -> None:
        """Append to `part` until it has its length, over several connections if need be."""
        deadline = time.monotonic() + self._limits.socket_timeout_s + length / self._limits.min_bytes_per_s
        for attempt in range(1, self._limits.attempts + 1):
            try:
                self._append(url, part, length, deadline)
                return
            except (DownloadLengthMismatchError, DownloadHTTPError):
                part.unlink(missing_ok=True)
                raise
            except DownloadError as error:
                if attempt == self._limits.attempts or time.monotonic() > deadline:
                    raise
                _log.info("%s; attempt %d of %d", error, attempt + 1, self._limits.attempts)

    def _append(self, url: str, part: Path, length: int, deadline: float) -> None:
        offset = part.stat().st_size if part.exists() else 0
        if offset == length and part.exists():
            return
        start, chunks = self._fetcher.fetch_from(url, offset if offset < length else 0)
        with part.open("r+b" if part.exists() else "w+b") as stream:
            stream.truncate(start)
            stream.seek(start)
            size = start
            for chunk in chunks:
                size += len(chunk)
                if size > length:
                    raise DownloadLengthMismatchError(f"{url}: sends more than the {length} bytes that were signed")
                if time.monotonic() > deadline:
                    raise SlowRetrievalError(f"{url}: slower than {self._limits.min_bytes_per_s} bytes a second")
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        if size < length:
            raise DownloadError(f"{url}: broke off after {size} of {length} bytes")


def _verify(info: TargetFile, part: Path) -> None:
    with part.open("rb") as stream:
        info.verify_length_and_hashes(stream)


def _base_url(repository: str) -> str:
    if repository.startswith(("http://", "https://", "file:///")):
        return repository.rstrip("/")
    if "://" in repository:
        raise UserError(f"{repository}: expected a folder, or a file://, http:// or https:// address")
    return Path(repository).absolute().as_uri()


def _refused(what: str, error: Exception) -> FetchError:
    kind = type(error).__name__
    return FetchError(kind, f"{what}: {kind}: {error}")
