"""The ingest stage: from data sets in their own layouts to a table of scenes and a table of what cannot be used.

Only what is new or changed is read: digests of files and results of inspections are kept in the data set store. Books
are kept in a file, so that memory does not grow with the data set. What was found becomes a version of the data set.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hazardline import environment
from hazardline.datasets.store import DatasetStore
from hazardline.errors import RefusedOutputError, UserError
from hazardline.file_digests import FileDigests
from hazardline.files import clear_when_full
from hazardline.ingest.candidates import collect
from hazardline.ingest.config import IngestConfig, SourceConfig
from hazardline.ingest.corrected import Overlay
from hazardline.ingest.examine import Bench, place_of
from hazardline.ingest.executors import Executor, executor_named
from hazardline.ingest.inspection import Fault
from hazardline.ingest.judge import judge
from hazardline.ingest.known import KnownContents
from hazardline.ingest.place import LocalPlace, Place
from hazardline.ingest.report import REPORT_NAME, Decoder, IngestReport, refusal
from hazardline.ingest.scene_rows import write_tables
from hazardline.ingest.sources import adapter_of
from hazardline.ingest.versions import keep_version
from hazardline.ingest.work import Work
from hazardline.progress import Reporter


def run(config: IngestConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Read, check and decode every clip that is new; write the tables and the report, and keep a version.

    Args:
        config: Where the data sets are and how much of them may be unusable.
        inputs: `simulate` is read where the configuration names no root.
        out: Receives scenes.parquet, features.parquet, fingerprints.parquet, records.parquet, quarantine.parquet and
            ingest.json.
        reporter: Told of every clip.

    Returns:
        The report, as plain data.

    Raises:
        UserError: no data set, or no room on the disk.
        RefusedOutputError: no usable clip, or a larger share in quarantine than allowed. The tables are written
            before; the message repeats the first rows of the quarantine.
    """
    store = DatasetStore(environment.datasets_root())
    with ExitStack() as stack:
        stack.enter_context(clear_when_full(str(store.root)))
        folder = stack.enter_context(_work_folder(store, reporter))
        work = stack.enter_context(closing(Work(folder / "work.sqlite")))
        reporter.phase("read annotations")
        overlay = Overlay([Path(name) for name in config.corrections])
        places = open_places(config, inputs, folder)
        for place, source in places:
            collect(work, place, adapter_of(place, source), store)
        bench = Bench.of_this_process(store)
        decoder = Decoder(backend=bench.backend, reason=bench.backend_reason)
        reporter.note(f"decoder: {decoder.backend} ({decoder.reason})")
        roots = ", ".join(place.name for place, _ in places)
        if not work.num_candidates() and not work.num_problems():
            raise UserError(f"{roots}: the {config.source} data set names no clip; add clips to its annotations")
        known = stack.enter_context(closing(KnownContents(store.known_path, bench.found_by)))
        digests = stack.enter_context(closing(FileDigests(environment.digests_path())))
        executor = executor_named(config.executor, bench, config.num_workers, config.clip_timeout_s, folder)
        examine_new(work, store, known, digests, executor, reporter)
        judge(work, known)
        report = write_tables(work, known, out, places, decoder, overlay)
        report.write(out / REPORT_NAME)
        _refuse(work, report, config, roots)
        keep_version(config, report, store, out, reporter)
    if config.corrections:
        left = len(report.corrections_not_applied)
        reporter.note(f"{report.num_corrections} values corrected by reviews; {left} corrections do not fit")
    reasons = ", ".join(f"{reason} {count}" for reason, count in report.by_reason.items())
    said = f" ({reasons})" if reasons else ""
    reporter.note(f"{report.num_clips} clips, {report.num_quarantined} in quarantine{said}")
    return report.data()


@contextmanager
def _work_folder(store: DatasetStore, reporter: Reporter) -> Iterator[Path]:
    """A folder for the books of this ingest, removed with them; what killed ingests left a day ago is removed, too."""
    for left in store.sweep(time.time()):
        reporter.note(f"removed {left.name}, left by an ingest that was killed")
    parent = store.root / "work"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="ingest-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_places(config: IngestConfig, inputs: Mapping[str, Path], folder: Path) -> list[tuple[Place, SourceConfig]]:
    """The configured places with their settings; the first may be what was simulated.

    Args:
        config: of the stage.
        inputs: of the stage.
        folder: for listings and annotation files of S3.

    Raises:
        UserError: there is no such folder or prefix.
    """
    if config.root is None and "simulate" not in inputs:
        raise UserError("ingest: root: missing; name the folder of the data set (nothing was simulated before)")
    roots = [config.root if config.root is not None else str(inputs["simulate"]), *(s.root for s in config.also)]
    sources = [config, *config.also]
    found: list[tuple[Place, SourceConfig]] = []
    for number, (root, source) in enumerate(zip(roots, sources, strict=True)):
        if root is None:
            raise UserError(f"ingest: also.{number - 1}.root: missing; name the folder of the {source.source} data set")
        found.append((_open_place(root, source.source, folder / f"place-{number}"), source))
    return found


def _open_place(root: str, source: str, folder: Path) -> Place:
    if root.startswith("s3://"):
        from hazardline.ingest.s3_place import S3Place

        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        return S3Place(bucket, prefix.rstrip("/"), folder)
    path = Path(root).expanduser()
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; ingest.root must name the folder of a {source} data set")
    return LocalPlace(path)


def examine_new(
    work: Work, store: DatasetStore, known: KnownContents, digests: FileDigests, executor: Executor, reporter: Reporter
) -> None:
    """See that of all media either the content is known, or the fault; each is kept as soon as it was found."""
    for item in work.media():
        sha256 = digests.known(item.media.key, item.media.stamp)
        if sha256 is None:
            continue
        path = place_of(store, item.media, sha256)
        if known.has(sha256) and path.is_file():
            work.settle(item.number, str(path), sha256)
        else:
            work.learn(item.number, replace(item.media, sha256=sha256))
    num_new = work.num_pending()
    num_known = work.num_media() - num_new
    if num_known:
        reporter.note(f"{num_known} clips are known from an earlier ingest")
    reporter.phase("decode clips", num_new)
    for number, found in executor(work.media()):
        fault = found.result if isinstance(found.result, Fault) else None
        if found.result is not None and found.sha256 and (fault is None or fault.is_lasting):
            known.keep(found.sha256, found.result)
        work.settle(number, found.path, found.sha256, fault)
        if found.is_settled:
            media = work.media_numbered(number)
            digests.remember(media.key, media.stamp, found.sha256)
        reporter.advance()


def _refuse(work: Work, report: IngestReport, config: IngestConfig, roots: str) -> None:
    """Refuse the output where too much of it cannot be used.

    Raises:
        RefusedOutputError: so it is.
    """
    total = report.num_clips + report.num_quarantined
    if report.num_clips and report.num_quarantined <= config.max_quarantined_share * total:
        return
    raise RefusedOutputError(refusal(work.problems(), report, config.max_quarantined_share, roots))
