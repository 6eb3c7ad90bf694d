"""What the workers of a run read, on its way to other machines: two tables, the index of features, and the features.

    <mirror>/runs/<run digest>.json    names them; the files are objects of the mirror

The driver shares them once; every machine of the cluster fetches what it lacks below its own HAZARDLINE_HOME. A driver
that was cut off and starts anew on an empty disk takes the features from there as well.
"""

import fcntl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hazardline.documents import Document
from hazardline.environment import STORE_MIRROR, home
from hazardline.errors import UserError
from hazardline.files import path_inside, sha256_file
from hazardline.mirror.objects import Content, DamagedObjectError, Mirror, open_mirror
from hazardline.progress import Reporter, SilentReporter
from hazardline.tables import QA, SCENES
from hazardline.train.base import base_folder
from hazardline.train.document import BranchJob
from hazardline.train.features import FEATURES_FOLDER, INDEX_NAME, FeatureIndex

_WORKERS_FOLDER = "workers"
_RUN_DIGITS = 16
_HASHING_THREADS = 4


class SharedInputs(Document):
    """The inputs of a run's workers, as names and SHA-256."""

    version: Literal["run-inputs@1"] = "run-inputs@1"
    files: dict[str, str]
    """By path below a folder of the run."""
    features: dict[str, str]
    """By name in the feature cache."""


def share_inputs(mirror: Mirror, job: BranchJob, reporter: Reporter) -> None:
    """Put into the mirror what the workers of a run read, where it is not there yet.

    Args:
        mirror: of the environment.
        job: any of the run's; its paths are this machine's.
        reporter: a unit a file.

    Raises:
        UserError: S3 refuses or cannot be reached.
    """
    index = FeatureIndex.read(job.features / INDEX_NAME)
    names = sorted({name for clip in index.clips.values() for name in clip.files.values()})
    paths = {
        f"ingest/{SCENES.file_name}": job.ingest / SCENES.file_name,
        f"synthesize/{QA.file_name}": job.synthesize / QA.file_name,
        f"{FEATURES_FOLDER}/{INDEX_NAME}": job.features / INDEX_NAME,
    }
    contents = _contents([*paths.values(), *(job.feature_cache / name for name in names)])
    mirror.put(contents, reporter, "the inputs of the workers")
    digests = {content.path: content.sha256 for content in contents}
    shared = SharedInputs(
        files={name: digests[path] for name, path in paths.items()},
        features={name: digests[job.feature_cache / name] for name in names},
    )
    mirror.put_document(_document(job.run_digest), shared)


def restore_features(mirror: Mirror, run_digest: str, cache: Path, reporter: Reporter) -> None:
    """Fetch the features of a run that has shared them before into the feature cache of this machine.

    What is damaged is encoded again.

    Raises:
        UserError: S3 refuses or cannot be reached, or the disk is full.
    """
    shared = mirror.document(_document(run_digest), SharedInputs)
    if shared is None:
        return
    try:
        mirror.fetch(_missing(cache, shared.features), reporter, "features of the run that was cut off")
    except DamagedObjectError as error:
        reporter.note(f"features that are encoded again: {error}")


def present_inputs(job: BranchJob) -> BranchJob:
    """In a worker: fetch the inputs of the run that this machine lacks; returns the job with the paths they have here.

    The workers of one machine fetch them once.

    Raises:
        UserError: the mirror is not set here, lacks something or has it damaged; or it cannot be used.
    """
    mirror = open_mirror()
    shared = None if mirror is None else mirror.document(_document(job.run_digest), SharedInputs)
    if mirror is None or shared is None:
        raise UserError(
            f"train: a worker does not find the inputs of run {job.run_digest[:_RUN_DIGITS]} in the mirror; give all "
            f"pods the same {STORE_MIRROR}"
        )
    folder, cache = home() / _WORKERS_FOLDER / job.run_digest[:_RUN_DIGITS], home() / FEATURES_FOLDER
    with _alone(folder):
        missing = _missing(folder, shared.files) + _missing(cache, shared.features)
        try:
            mirror.fetch(missing, SilentReporter(), "the inputs of the workers")
        except DamagedObjectError as error:
            raise UserError(f"train: an input of the workers: {error}; remove it there and run again") from None
        base = job.base if job.base.is_dir() else base_folder(job.config.base)
    here = {"ingest": folder / "ingest", "synthesize": folder / "synthesize", "features": folder / FEATURES_FOLDER}
    return job.model_copy(update={**here, "feature_cache": cache, "base": base})


def _contents(paths: list[Path]) -> list[Content]:
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        return [Content(path, digest) for path, digest in zip(paths, pool.map(sha256_file, paths), strict=True)]


def _missing(folder: Path, files: dict[str, str]) -> list[Content]:
    found = []
    for name, sha256 in files.items():
        path = path_inside(folder, name)
        if path is None:
            raise UserError(f"train: the inputs of the workers name {name!r}, which lies outside of {folder}")
        if not path.is_file():
            found.append(Content(path, sha256))
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield


def _document(run_digest: str) -> str:
    return f"runs/{run_digest}.json"
