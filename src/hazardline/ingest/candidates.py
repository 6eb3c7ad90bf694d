"""From an adapter's stream to the books: candidates that can be opened, and the others as problems."""

from dataclasses import replace
from pathlib import PurePosixPath

from hazardline.datasets.store import DatasetStore
from hazardline.file_digests import stamp_of
from hazardline.files import sha256_bytes
from hazardline.ingest.adapter import Adapter, Candidate, Problem
from hazardline.ingest.checks import check_annotation, problem
from hazardline.ingest.place import Media, NoMediaError, Place
from hazardline.ingest.work import Work


def collect(work: Work, place: Place, adapter: Adapter, store: DatasetStore) -> None:
    """Write down all that an adapter says. Of several clips with one id the first is kept.

    Raises:
        UserError: the data set as a whole cannot be read.
    """
    for item in adapter.candidates():
        if isinstance(item, Problem):
            work.add_problem(item)
            continue
        fault = check_annotation(item)
        before = None if fault is not None else work.origin_of(item.clip_id)
        if before is not None:
            fault = problem(item, "duplicate_id", f"clip_id stands already in {before}")
        media = fault or _media(item, place, store)
        if isinstance(media, Problem):
            work.add_problem(media)
        else:
            work.add_candidate(replace(item, content=None), media)


def _media(candidate: Candidate, place: Place, store: DatasetStore) -> Media | Problem:
    if candidate.content is not None:
        sha256 = sha256_bytes(candidate.content)
        suffix = PurePosixPath(candidate.video).suffix.lower()
        path = store.keep_bytes(candidate.content, sha256, suffix if suffix in (".png", ".jpg", ".jpeg") else ".png")
        return Media("file", str(path), stamp_of(path.stat()), sha256=sha256)
    try:
        return place.media(candidate.video, candidate.fps)
    except NoMediaError as error:
        return problem(candidate, error.reason, error.detail)
