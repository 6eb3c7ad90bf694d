"""Clips that other machines have kept: of the simulator, in the store, and of an ingest, in the data set store.

A table of scenes names clips by their path and digest. One that lies below this machine's store or data set store, and
is not there, is fetched to that path; footage that lies elsewhere is on a volume, and is left alone.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from hazardline import environment
from hazardline.errors import UserError
from hazardline.mirror.objects import Content, DamagedObjectError, open_mirror
from hazardline.progress import Reporter, SilentReporter
from hazardline.store import Store

_one_at_a_time = threading.Lock()  # the store's locks hold between processes, not between threads


def make_present(clips: Iterable[tuple[Path, str]], reporter: Reporter | None = None) -> None:
    """Fetch those of some clips that are missing here and that a mirror can give.

    Args:
        clips: path and SHA-256 of what a stage is about to read.
        reporter: a unit a clip.

    Raises:
        UserError: the mirror lacks a clip or has it damaged; or it cannot be used.
    """
    if environment.store_mirror() is None:
        return
    missing = _missing(clips)
    mirror = open_mirror() if missing else None
    if mirror is None:
        return
    store = Store(environment.store_root())
    for output, wanted in missing.items():
        with ExitStack() as stack:
            stack.enter_context(_one_at_a_time)
            if output is not None:
                stack.enter_context(store.lock(*output))
                store.make_partial(*output)
            contents = [Content(path, sha256) for path, sha256 in wanted.items() if not path.exists()]
            try:
                mirror.fetch(contents, reporter or SilentReporter(), "clips")
            except DamagedObjectError as error:
                raise UserError(
                    f"{error}; remove it there and run the line again: the stage that keeps the clip makes it anew"
                ) from None


def _missing(clips: Iterable[tuple[Path, str]]) -> dict[tuple[str, str] | None, dict[Path, str]]:
    """Those that lie below this machine's folders and are not there, by the output that they are part of, if any."""
    store, media = environment.store_root(), environment.datasets_root() / "media"
    missing: defaultdict[tuple[str, str] | None, dict[Path, str]] = defaultdict(dict)
    for path, sha256 in clips:
        if ".." in path.parts or path.exists():
            continue
        if path.is_relative_to(media):
            missing[None][path] = sha256
        elif path.is_relative_to(store):
            stage, name, *_ = path.relative_to(store).parts
            missing[stage, name][path] = sha256
    return missing
