"""What an examining process does with one clip: get at its file, see whether the content is known, look at it.

It runs on this machine or on another of a cluster. The store's folder must be seen by all of them.
"""

import resource
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hazardline import video
from hazardline.code_digest import module_digest
from hazardline.datasets.store import DatasetStore
from hazardline.errors import UserError
from hazardline.file_digests import is_young, stamp_of
from hazardline.files import digest_json, sha256_file
from hazardline.ingest.frame_folder import FrameFolderError, in_order, write_video
from hazardline.ingest.inspection import Fault, Inspection, inspect
from hazardline.ingest.known import KnownContents
from hazardline.ingest.place import Media

MAX_DATA_BYTES = 2 << 30
"""Memory of an examining process; a file that needs more is unreadable."""


@dataclass(frozen=True)
class Bench:
    """What every examining process is given: where the store is, and which decoder the run has chosen."""

    store: Path
    backend: Literal["pyav", "torchcodec"]
    backend_reason: str
    found_by: str
    """Names the code and the decoder, for `KnownContents`."""
    known: Path | None
    """File of `KnownContents`, where the process may look into it."""

    @classmethod
    def of_this_process(cls, store: DatasetStore) -> "Bench":
        """With the decoder and the code of this process."""
        backend = video.backend()
        found_by = digest_json([module_digest("hazardline.ingest.inspection"), backend])
        return cls(store.root, backend, video.backend_reason(), found_by, store.known_path)

    def prepare(self) -> None:
        """In a new process: take the run's choice of the decoder, and a limit of memory for hostile files."""
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, hard))
        if self.backend == "pyav":
            video.use_pyav(self.backend_reason)

    def is_known(self, sha256: str) -> bool:
        """Whether somebody has looked at this content before."""
        if self.known is None:
            return False
        with closing(KnownContents(self.known, self.found_by)) as known:
            return known.has(sha256)


@dataclass(frozen=True)
class Examined:
    """What became of one clip's media."""

    path: str
    """Of the file that the clip is from now on; empty where there is none."""
    sha256: str
    """Of that file; empty where there is none."""
    is_settled: bool
    """Whether the stamp proves that the content is still the same next time."""
    result: Inspection | Fault | None = None
    """What was found, of the content or of getting at it; None where the content is known."""


def examine(bench: Bench, media: Media) -> Examined:
    """Get at a clip's file and look at it, unless its content is known."""
    store = DatasetStore(bench.store)
    try:
        if media.kind == "file":
            return _local_file(media, bench)
        if media.kind == "frames":
            return _frames(media, store, bench)
        from hazardline.ingest.s3_media import fetched

        with fetched(media, store) as (path, sha256):
            return _found(path, sha256, bench, True)
    except FrameFolderError as error:
        return Examined("", "", False, Fault(error.reason, error.detail))
    except (OSError, UserError) as error:
        return lost(f"cannot be read: {str(error) or type(error).__name__}")


def place_of(store: DatasetStore, media: Media, sha256: str) -> Path:
    """Where a clip's file lies once it was examined."""
    return Path(media.where) if media.kind == "file" else store.media_path(sha256, media.suffix)


def lost(detail: str) -> Examined:
    """Of media that could not be looked at, for a cause that may be gone next time."""
    return Examined("", "", False, Fault("unreadable", detail, is_lasting=False))


def _local_file(media: Media, bench: Bench) -> Examined:
    path = Path(media.where)
    found = _found(path, media.sha256 or sha256_file(path), bench, not is_young(path.stat()))
    return found if stamp_of(path.stat()) == media.stamp else lost("the file changed while it was read")


def _frames(media: Media, store: DatasetStore, bench: Bench) -> Examined:
    folder = Path(media.where)
    names = in_order([path.name for path in folder.iterdir() if path.is_file()])
    is_settled = not any(is_young((folder / name).stat()) for name in names)
    assert media.fps is not None
    with store.new_media() as new:
        write_video([folder / name for name in names], media.fps, new)
        path, sha256 = store.keep_media(new, media.suffix)
    return _found(path, sha256, bench, is_settled)


def _found(path: Path, sha256: str, bench: Bench, is_settled: bool) -> Examined:
    return Examined(str(path), sha256, is_settled, None if bench.is_known(sha256) else inspect(path))
