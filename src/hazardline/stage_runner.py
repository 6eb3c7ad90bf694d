"""Runs one stage, or finds that the store has its output already, and writes a small record of it.

This is what a pipeline component calls: it knows the store, the clock and the progress events, and nothing of what a
stage does. Data pass between stages as records (a small JSON document that names a folder of the store and its
digest), never as copied folders.
"""

import json
import platform
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hazardline import environment
from hazardline.code_digest import code_digest
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import canonical_json, digest_json, sha256_file, sha256_tree
from hazardline.process_memory import PeakMemory
from hazardline.progress import EventReporter, Reporter, SilentReporter
from hazardline.stages import Stage, stage_named
from hazardline.store import DamagedError, StageRecord, Store, describe_files, output_digest

USER_ERROR_STATUS = 2
DEPENDENCIES = (
    "av",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "panda3d",
    "peft",
    "pyarrow",
    "ray",
    "tokenizers",
    "torch",
    "torchcodec",
    "transformers",
    "tuf",
)
"""Libraries whose version changes what stages make."""


def run_stage(stage: str, section_json: str, input_records: Mapping[str, str], record_path: str) -> StageRecord:
    """Run a stage or reuse its stored output, and write its record.

    Args:
        stage: name of the stage.
        section_json: its recipe section as JSON.
        input_records: upstream stage to the path of its record.
        record_path: where to write the record.

    Raises:
        SystemExit: with status 2, after one line on stderr, where something that the user can mend is wrong.
    """
    emit = _emitter(stage)
    emit({"state": "started"})
    try:
        found = stage_named(stage)
        config = found.config_class().parse_json(section_json, f"section {stage}")
        records = {name: StageRecord.read(Path(path)) for name, path in input_records.items()}
        record = make_or_reuse(found, config, records, Store(environment.store_root()), _reporter(stage))
    except UserError as error:
        emit({"state": "failed", "error": str(error)})
        print(f"{stage}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(USER_ERROR_STATUS) from None
    except BaseException as error:
        emit({"state": "failed", "error": f"{type(error).__name__}: {error}", "is_defect": True})
        raise
    record.write(Path(record_path))
    emit({"state": "reused" if record.cached else "made", "record": record.data()})
    return record


def make_or_reuse(
    stage: Stage,
    config: Document,
    inputs: Mapping[str, StageRecord],
    store: Store,
    reporter: Reporter,
) -> StageRecord:
    """The record of a stage's output: from the store if it is there and whole, made otherwise.

    Two processes that want the same output do the work once: the second waits for the first and reuses.

    Raises:
        UserError: an input is missing or damaged, or the stage met something that the user can mend.
    """
    begin = time.monotonic()
    _check_inputs(stage, inputs, store)
    for left in store.sweep():
        reporter.note(f"removed {left.name}, left by a run that was killed")
    key = cache_key(stage, config, inputs)
    name = key if stage.is_cacheable else f"{key}-{time.time_ns():x}{secrets.token_hex(3)}"
    with PeakMemory() as memory, store.lock(stage.name, name) as waited:
        if waited:
            reporter.note("waited for another run that was making the same output")
        record = _reusable(stage, name, store, reporter)
        if record is None:
            record = _make(stage, config, inputs, store, name, reporter)
        elapsed_s = round(time.monotonic() - begin, 3)
        cost: dict[str, Any] = {"wall_s": elapsed_s, "peak_rss_mb": memory.peak_mb}
        if not record.cached:
            record = record.model_copy(update={**cost, "made_wall_s": elapsed_s})
            store.keep(stage.name, name, record)
    return record.model_copy(update=cost)


def cache_key(stage: Stage, config: Document, inputs: Mapping[str, StageRecord]) -> str:
    """Digest of everything that an output depends on.

    The section with its defaults written out, the contents of the files and folders that the section names (its
    `Path` fields), the digests of the inputs, the code that the stage uses (`code_digest`), and the versions of
    Python and of the libraries that matter.
    """
    return digest_json(
        {
            "stage": stage.name,
            "section": config.data(),
            "files": {str(path): _contents_digest(path) for path in paths_in(config)},
            "inputs": {name: record.content_digest for name, record in inputs.items()},
            "code": code_digest(stage.name),
            "versions": {
                "python": platform.python_version(),
                **{name: _version(name) for name in DEPENDENCIES},
            },
        }
    )


def paths_in(value: Any) -> list[Path]:
    """All `Path` values of a document, also in nested documents, lists and mappings."""
    if isinstance(value, Path):
        return [value]
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return [path for item in value for path in paths_in(item)]
    return []


def _make(
    stage: Stage,
    config: Document,
    inputs: Mapping[str, StageRecord],
    store: Store,
    name: str,
    reporter: Reporter,
    elapsed_s: Callable[[], float],
) -> StageRecord:
    run = stage.run_function()
    with store.making(stage.name, name) as out:
        folders = {upstream: record.output for upstream, record in inputs.items()}
        summary = run(config, folders, out, reporter)
        _refuse_making_path(stage, out, summary)
        files = describe_files(out)
        wall_s = round(elapsed_s(), 3)
        record = StageRecord(
            stage=stage.name,
            key=name.partition("-")[0],
            uri=store.output(stage.name, name).as_uri(),
            content_digest=output_digest(files),
            cached=False,
            wall_s=wall_s,
            peak_rss_mb=0.0,
            made_wall_s=wall_s,
            summary=summary,
            inputs={upstream: record.content_digest for upstream, record in inputs.items()},
            files=files,
        )
        store.keep(stage.name, name, record)
    return record


def _reusable(stage: Stage, name: str, store: Store, reporter: Reporter) -> StageRecord | None:
    try:
        record = store.find(stage.name, name)
    except DamagedError as error:
        reporter.note(f"the stored output is damaged and is made again: {error}")
        store.remove(stage.name, name)
        return None
    return record.model_copy(update={"cached": True}) if record is not None else None


def _check_inputs(stage: Stage, inputs: Mapping[str, StageRecord], store: Store) -> None:
    missing = set(stage.inputs) - set(stage.optional_inputs) - set(inputs)
    if missing:
        raise UserError(f"{stage.name} needs the output of {', '.join(sorted(missing))}, which was not given")
    unknown = set(inputs) - set(stage.inputs)
    if unknown:
        known = ", ".join(stage.inputs) or "no input"
        raise UserError(f"{stage.name} does not read {', '.join(sorted(unknown))}; it reads {known}")
    for name, record in inputs.items():
        if not record.output.is_dir():
            raise UserError(
                f"the output of {name} ({record.output}) is gone; run the line again, or set {environment.STORE} "
                "to the store that it was written to"
            )


def _refuse_making_path(stage: Stage, out: Path, summary: dict[str, Any]) -> None:
    """An output is renamed when it is whole: what names its temporary folder would point nowhere."""
    needle = str(out).encode()
    holders = ["the summary"] if needle in canonical_json(summary) else []
    holders += [path.name for path in out.rglob("*.json") if needle in path.read_bytes()]
    if holders:
        raise ValueError(f"{stage.name} wrote the name of its temporary folder into {', '.join(holders)}")


def _contents_digest(path: Path) -> str:
    if path.is_dir():
        return sha256_tree(path)
    return sha256_file(path) if path.is_file() else "absent"


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def _reporter(stage: str) -> Reporter:
    events = environment.events_path()
    return EventReporter(events, stage) if events is not None else SilentReporter()


def _emitter(stage: str) -> Callable[[dict[str, Any]], None]:
    """Writes events of a stage's life beside those of its progress, or drops them where nobody listens."""
    events = environment.events_path()

    def emit(event: dict[str, Any]) -> None:
        if events is not None:
            line = json.dumps({"stage": stage, "time": time.time(), **event}, ensure_ascii=False)
            with events.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")

    return emit
