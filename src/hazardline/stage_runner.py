"""Runs one stage, or finds that the store has its output already, and writes a small record of it.

This is what a pipeline component calls: it knows the store, the clock and the progress events, and nothing of what a
stage does. Data pass between stages as records (a small JSON document that names a folder of the store and its
digest), never as copied folders.
"""

import platform
import secrets
import time
from collections.abc import Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

from hazardline import environment
from hazardline.champion import fetch_for
from hazardline.code_digest import PACKAGE_ROOT
from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.file_digests import FileDigests
from hazardline.files import canonical_json, digest_json
from hazardline.mirror.objects import open_mirror
from hazardline.mirror.outputs import OutputMirror
from hazardline.process_memory import PeakMemory
from hazardline.progress import EventReporter, Reporter, SilentReporter, TextReporter
from hazardline.rayjob.config import rayjob_config
from hazardline.stage_events import told
from hazardline.stages import Stage, stage_named
from hazardline.store import DamagedError, StageRecord, Store, describe_files, output_digest

_LONGEST_NAME_BYTES = 255
DEPENDENCIES = (
    "av",
    "llguidance",
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


def run_stage(
    stage: str,
    section_json: str,
    input_records: Mapping[str, str],
    record_path: str,
    champion_of: str | None = None,
) -> StageRecord:
    """Run a stage or reuse its stored output, and write its record.

    Args:
        stage: name of the stage.
        section_json: its recipe section as JSON.
        input_records: upstream stage to the path of its record.
        record_path: where to write the record.
        champion_of: for stages that read of the champion, the registered model whose champion that is.

    Raises:
        SystemExit: with status 2, after one line on stderr, where something that the user can mend is wrong.
    """
    with told(stage) as emit:
        found = stage_named(stage)
        config = found.config_class().parse_json(section_json, f"section {stage}")
        records = {name: StageRecord.read(Path(path)) for name, path in input_records.items()}
        store, reporter = Store(environment.store_root()), _reporter(stage)
        if champion_of is not None:
            fetch, wanted = fetch_for(stage, config, champion_of)
            records["champion"] = make_or_reuse(fetch, wanted, {}, store, reporter)
        record = _make_here_or_in_cluster(found, config, records, store, reporter)
        record.write(Path(record_path))
        emit({"state": "reused" if record.cached else "made", "record": record.data()})
    return record


def _make_here_or_in_cluster(
    stage: Stage, config: Document, inputs: Mapping[str, StageRecord], store: Store, reporter: Reporter
) -> StageRecord:
    """`make_or_reuse` in this process, or in a Ray cluster where the stage uses one and one is configured."""
    settings = rayjob_config() if stage.uses_ray else None
    if settings is None:
        return make_or_reuse(stage, config, inputs, store, reporter)
    from hazardline.rayjob.stage import make_in_cluster

    if environment.events_path() is None:  # a pod's log is where its user looks
        reporter = TextReporter()
    return make_in_cluster(stage, config, inputs, store, reporter, settings)


def make_or_reuse(
    stage: Stage,
    config: Document,
    inputs: Mapping[str, StageRecord],
    store: Store,
    reporter: Reporter,
    key: str | None = None,  # given in a Ray cluster, where the component that waits for the output has named it
) -> StageRecord:
    """The record of a stage's output: from the store if it is there and whole, made otherwise.

    Two processes that want the same output do the work once: the second waits for the first and reuses. Where the
    environment names a mirror, it is part of the store: inputs and a reusable output are fetched from there, and what
    was made is whole there before this returns.

    Raises:
        UserError: an input is missing or damaged, the stage met something that the user can mend, or the mirror
            cannot be used.
    """
    begin = time.monotonic()
    mirror = open_output_mirror()
    inputs = _present_inputs(stage, inputs, store, mirror, reporter)
    for left in store.sweep():
        reporter.note(f"removed {left.name}, left by a run that was killed")
    key = key or cache_key(stage, config, inputs)
    name = (
        key if stage.is_cacheable and not config.reads_unseen() else f"{key}-{time.time_ns():x}{secrets.token_hex(3)}"
    )
    with PeakMemory() as memory, store.lock(stage.name, name) as waited:
        if waited:
            reporter.note("waited for another run that was making the same output")
        record = reusable(stage, name, store, mirror, reporter)
        if record is None:
            with store.making(stage.name, name) as out:
                summary = _run(stage, config, inputs, out, reporter)
                files = describe_files(out)
                wall_s = round(time.monotonic() - begin, 3)
                record = StageRecord(
                    stage=stage.name,
                    key=key,
                    uri=store.output(stage.name, name).as_uri(),
                    content_digest=output_digest(files),
                    cached=False,
                    wall_s=wall_s,
                    peak_rss_mb=memory.peak_mb,
                    made_wall_s=wall_s,
                    summary=summary,
                    inputs={upstream: record.content_digest for upstream, record in inputs.items()},
                    files=files,
                )
                store.keep(stage.name, name, record)
        if mirror is not None:
            mirror.keep(record, reporter)
    cost = {"wall_s": round(time.monotonic() - begin, 3), "peak_rss_mb": memory.peak_mb}
    return record.model_copy(update=cost)


def cache_key(stage: Stage, config: Document, inputs: Mapping[str, StageRecord]) -> str:
    """Digest of everything that an output depends on.

    The section with its defaults written out, the contents of the files and folders that the section names, the
    digests of the inputs, the code that the stage uses (`code_digest`), and the versions of Python and of the
    libraries that matter.
    """
    return digest_json(
        {
            "stage": stage.name,
            "section": config.data(),
            "files": _contents_digests(files_named(config.data())),
            "inputs": {name: record.content_digest for name, record in inputs.items()},
            "code": stage.code_digest(),
            "versions": {
                "python": platform.python_version(),
                **{name: _version(name) for name in DEPENDENCIES},
            },
        }
    )


def files_named(value: Any) -> dict[str, Path]:
    """Every string in plain data that is the path of something on disk, with that path.

    A path is absolute, or relative to the working folder or to the source checkout. A string that only happens to be
    the name of a file costs a digest and does no harm.
    """
    if isinstance(value, str):
        places = [Path(value), PACKAGE_ROOT.parents[1] / value]
        found = [place for place in places if value and _is_on_disk(place)]
        return {value: found[0]} if found else {}
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return {name: path for item in value for name, path in files_named(item).items()}
    return {}


def _run(
    stage: Stage, config: Document, inputs: Mapping[str, StageRecord], out: Path, reporter: Reporter
) -> dict[str, Any]:
    """Do a stage's work in an empty folder; what it says of itself, as plain data."""
    summary = stage.run_function()(
        config, {upstream: record.output for upstream, record in inputs.items()}, out, reporter
    )
    refuse_making_path(stage.name, out, summary)
    return summary


def open_output_mirror() -> OutputMirror | None:
    """The mirror that the environment names, if it names one."""
    mirror = open_mirror()
    return None if mirror is None else OutputMirror(mirror)


def reusable(
    stage: Stage, name: str, store: Store, mirror: OutputMirror | None, reporter: Reporter
) -> StageRecord | None:
    """The record of an output that is in the store, or was fetched into it from the mirror; None where it is neither.

    What is damaged is removed here, and said. The caller holds the output's lock.
    """
    record = None
    try:
        record = store.find(stage.name, name)
    except DamagedError as error:
        reporter.note(f"the stored output is damaged and is made again: {error}")
        store.remove(stage.name, name)
    if record is None and mirror is not None:
        try:
            record = mirror.fetch(stage.name, name, store, reporter)
        except DamagedError as error:
            reporter.note(f"the mirrored output is damaged and is made again: {error}")
    return record.model_copy(update={"cached": True}) if record is not None else None


def _present_inputs(
    stage: Stage,
    inputs: Mapping[str, StageRecord],
    store: Store,
    mirror: OutputMirror | None,
    reporter: Reporter,
) -> dict[str, StageRecord]:
    """The inputs, with their outputs in this store: fetched where they are not here and there is a mirror."""
    missing = set(stage.inputs) - set(stage.optional_inputs) - set(inputs)
    if missing:
        raise UserError(f"{stage.name} needs the output of {', '.join(sorted(missing))}, which was not given")
    unknown = set(inputs) - set(stage.inputs)
    if unknown:
        known = ", ".join(stage.inputs) or "no input"
        raise UserError(f"{stage.name} does not read {', '.join(sorted(unknown))}; it reads {known}")
    return {name: present_output(record, store, mirror, reporter) for name, record in inputs.items()}


def present_output(record: StageRecord, store: Store, mirror: OutputMirror | None, reporter: Reporter) -> StageRecord:
    """See that the output of a record from elsewhere is on this machine; returns the record with its place here.

    Raises:
        UserError: it is not, and there is no mirror that could give it.
    """
    if mirror is not None:
        return mirror.present(record, store, reporter)
    if not record.output.is_dir():
        raise UserError(
            f"the output of {record.stage} ({record.output}) is gone; run the line again, or set {environment.STORE} "
            f"to the store that it was written to, or {environment.STORE_MIRROR} to the mirror that keeps it"
        )
    return record


def refuse_making_path(stage: str, out: Path, summary: dict[str, Any]) -> None:
    """See that neither a summary nor a JSON document names the folder that an output is made in.

    An output is renamed when it is whole, so that such a name would point nowhere.

    Raises:
        ValueError: one does; the stage is to be mended.
    """
    needle = str(out).encode()
    holders = ["the summary"] if needle in canonical_json(summary) else []
    holders += [path.name for path in out.rglob("*.json") if needle in path.read_bytes()]
    if holders:
        raise ValueError(f"{stage} wrote the name of its temporary folder into {', '.join(holders)}")


def _is_on_disk(path: Path) -> bool:
    return all(len(part.encode()) <= _LONGEST_NAME_BYTES for part in path.parts) and path.exists()


def _contents_digests(paths: Mapping[str, Path]) -> dict[str, str]:
    """Digests of files and folders; of a large data set only what may have changed is read."""
    if not paths:
        return {}
    with closing(FileDigests(environment.digests_path())) as digests:
        return {
            name: digests.sha256_tree(path) if path.is_dir() else digests.sha256(path) for name, path in paths.items()
        }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def _reporter(stage: str) -> Reporter:
    events = environment.events_path()
    return EventReporter(events, stage) if events is not None else SilentReporter()
