"""Has a stage's work done by a RayJob: the component's side.

The job's name follows from the output's key, so whoever wants the same output meets the same job:

- It is created where there is none. A job of that name that asks for something else is an error.
- It is *adopted* where it asks for the same and has not failed: the run that came last is its owner, by an annotation.
  One that has failed is removed, and a new one goes on from the checkpoint.
- Every way out removes the job, if this run is still its owner: success, failure, an exception, SIGTERM, a deadline.
  Where another run has adopted it meanwhile, that one wants it further, and removes it in its turn.
- A run whose job was removed by somebody else creates it again.

After SIGKILL nobody removes the job: the next run adopts it, and if none comes, KubeRay ends it by its own deadline and
frees its nodes after its time to live.
"""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from hazardline import environment
from hazardline.documents import Document
from hazardline.errors import StoppedError, UserError
from hazardline.files import digest_json
from hazardline.progress import Reporter
from hazardline.rayjob.client import ConflictError, Job, RayJobsApi
from hazardline.rayjob.config import RayJobConfig
from hazardline.rayjob.failures import phase_of
from hazardline.rayjob.manifest import ATTEMPT, DIGEST, OWNER, job_name, passed_on, ray_job
from hazardline.rayjob.request import (
    PROGRESS_NAME,
    REQUEST_NAME,
    RESULT_NAME,
    Exchange,
    Progress,
    StageRequest,
    StageResult,
    open_exchange,
)
from hazardline.rayjob.watch import Follower, VanishedError
from hazardline.stage_runner import cache_key, open_output_mirror, reusable
from hazardline.stages import Stage
from hazardline.store import DamagedError, StageRecord, Store

_MAX_TRIES = 20
"""Changes by others that a call is repeated for, and removals of the job by others that it is created again for."""

Find = Callable[[], StageRecord | None]


def make_in_cluster(
    stage: Stage,
    config: Document,
    inputs: Mapping[str, StageRecord],
    store: Store,
    reporter: Reporter,
    settings: RayJobConfig,
) -> StageRecord:
    """The record of a stage's output: from the store if it is there and whole, made by a RayJob otherwise.

    The output's key knows the image by its digest beside all that `cache_key` sees here: the libraries that make the
    output are the image's.

    Raises:
        UserError: what the stage, KubeRay, Kueue or the Kubernetes API found wrong, or a deadline.
        StoppedError: this process was told to end (SIGTERM).
        RayJobDefectError: the stage failed in the cluster by a defect.
    """
    begin = time.monotonic()
    key = digest_json({"key": cache_key(stage, config, inputs), "image": settings.image})
    is_fixed = stage.is_cacheable and not config.reads_unseen()
    mirror = open_output_mirror()

    def find() -> StageRecord | None:
        if mirror is not None and is_fixed:
            with store.lock(stage.name, key):
                return reusable(stage, key, store, mirror, reporter)
        try:  # without the lock, which on a volume that all pods mount the maker holds in the cluster
            return store.find(stage.name, key) if is_fixed else None
        except DamagedError as error:
            reporter.note(f"the stored output is damaged and is made again: {error}")
            return None

    found = find()
    if found is None:
        request = StageRequest(
            stage=stage.name, section=config.data(), inputs=dict(inputs), key=key, code=stage.code_digest()
        )
        run = _Run(request, settings, reporter, find)
        with ended_by_sigterm(f"stopped by SIGTERM; the RayJob {run.name} is removed, checkpoints are kept"):
            made = run.result()
        if mirror is not None:
            made = mirror.present(made, store, reporter)
        _check_arrived(made, store)
        record = made.model_copy(update={"cached": False})
    else:
        record = found.model_copy(update={"cached": True, "peak_rss_mb": 0.0})
    return record.model_copy(update={"wall_s": round(time.monotonic() - begin, 3)})


def _check_arrived(record: StageRecord, store: Store) -> None:
    """See that the output lies in this process's store, as the record says."""
    try:
        here = store.find(record.stage, record.name)
    except DamagedError as error:
        raise UserError(f"the output that the RayJob made is damaged here: {error}; run again") from None
    if here is None or here.content_digest != record.content_digest or here.output != record.output:
        raise UserError(
            f"the RayJob made {record.uri}, and the store here ({store.root}) does not hold it; the component and the "
            f"Ray pods must have the same {environment.STORE_MIRROR}, {environment.HOME} and {environment.STORE}"
        )


class _Run:
    """A request, and the job that this run has created or adopted for it."""

    def __init__(self, request: StageRequest, settings: RayJobConfig, reporter: Reporter, find: Find) -> None:
        self.name = job_name(request.stage, request.key)
        self._request, self._settings, self._reporter, self._find = request, settings, reporter, find
        self._owner = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        wanted = request.data() | {"inputs": {name: record.content_digest for name, record in request.inputs.items()}}
        self._digest = digest_json({"request": wanted, "image": settings.image})
        self._api = RayJobsApi(
            settings.namespace,
            patience_s=settings.api_patience_s,
            backoff_s=settings.backoff_s,
            max_backoff_s=settings.poll_s,
            note=reporter.note,
        )
        self._exchange: Exchange | None = None
        self._progress = Progress()
        self._environ, withheld = passed_on(os.environ, settings)
        for name in withheld:
            reporter.note(
                f"{name} may be a secret and is not written into the RayJob; name its Secret in rayjob.secret_env if "
                "the stage needs it"
            )

    def result(self) -> StageRecord:
        """Create or adopt, follow, remove."""
        try:
            try:
                for _ in range(_MAX_TRIES):
                    self._exchange = open_exchange(self._create_or_adopt())
                    follower = Follower(self._api, self._settings, self.name, self._reporter.note, self._look)
                    try:
                        return follower.follow()
                    except VanishedError:
                        result = self._look()
                    record = result.record if result is not None else self._find()
                    if record is not None:
                        return record
                    self._exchange.clear()
                    self._reporter.note(f"RayJob {self.name}: removed by somebody else; it is created again")
                raise UserError(f"RayJob {self.name}: removed {_MAX_TRIES} times by somebody else; see who does")
            finally:
                _hear_no_more()
        finally:
            self._remove()

    def _create_or_adopt(self) -> str:
        """See that the job is there and this run's; returns the address of its exchange."""
        for _ in range(_MAX_TRIES):
            attempt = secrets.token_hex(4)
            address = self._address(attempt)
            exchange, found = open_exchange(address), None
            try:
                exchange.write(REQUEST_NAME, self._request.model_dump_json().encode())
                found = self._created_or_adopted(attempt, address)
            finally:
                if found != attempt:
                    exchange.clear()
            if found is not None:
                return self._address(found)
            time.sleep(self._settings.backoff_s)
        raise UserError(f"RayJob {self.name}: it neither goes nor stays; see `kubectl describe rayjob {self.name}`")

    def _created_or_adopted(self, attempt: str, address: str) -> str | None:
        """The attempt of the job that is now this run's, its own or an earlier one; None: try again."""
        try:
            self._api.create(self._manifest(attempt, address))
        except ConflictError:
            return self._adopt(attempt)
        return attempt

    def _manifest(self, attempt: str, address: str) -> Job:
        annotations = {DIGEST: self._digest, OWNER: self._owner, ATTEMPT: attempt}
        return ray_job(self._settings, self._request.stage, self.name, address, annotations, self._environ)

    def _adopt(self, attempt: str) -> str | None:
        """Make the job of this name this run's own; its attempt, or None where creating is to be tried again.

        Raises:
            UserError: it asks for something else.
        """
        job = self._api.read(self.name)
        if job is None:
            return None
        annotations = job["metadata"].get("annotations") or {}
        if annotations.get(OWNER) == self._owner and annotations.get(ATTEMPT) == attempt:
            return attempt  # created by a call whose answer was lost
        if job["metadata"].get("deletionTimestamp"):
            return None
        if annotations.get(DIGEST) != self._digest:
            raise UserError(
                f"RayJob {self.name}: there is one of this name that asks for something else (another image, or code "
                f"of another version); wait for it, or remove it: kubectl -n {self._settings.namespace} delete rayjob "
                f"{self.name}"
            )
        adopted: str = annotations[ATTEMPT]
        try:
            if self._is_spent(job, adopted):
                self._api.delete(job)
                self._reporter.note(f"RayJob {self.name}: one that had failed was removed; a new one goes on")
                return None
            if self._api.annotate(job, {OWNER: self._owner}) is None:
                return None
        except ConflictError:
            return None
        self._reporter.note(f"RayJob {self.name}: adopted; it was begun by {annotations.get(OWNER)}")
        return adopted

    def _is_spent(self, job: Job, attempt: str) -> bool:
        """Whether a job has ended without a result that is of use."""
        if not phase_of(job).is_final:
            return False
        found = open_exchange(self._address(attempt)).read(RESULT_NAME)
        return found is None or StageResult.parse_json(found, RESULT_NAME).record is None

    def _address(self, attempt: str) -> str:
        return f"{_exchange_root(self._settings)}/{self.name}/{attempt}"

    def _look(self) -> StageResult | None:
        """Pass progress on; the result, where there is one."""
        assert self._exchange is not None
        found = self._exchange.read(PROGRESS_NAME)
        if found is not None:
            self._pass_on(Progress.parse_json(found, f"{self._exchange.address}/{PROGRESS_NAME}"))
        found = self._exchange.read(RESULT_NAME)
        return None if found is None else StageResult.parse_json(found, f"{self._exchange.address}/{RESULT_NAME}")

    def _pass_on(self, now: Progress) -> None:
        before = self._progress
        is_same = (now.phase, now.total) == (before.phase, before.total) and now.done >= before.done
        for text in now.notes[len(before.notes) :] if now.notes[: len(before.notes)] == before.notes else now.notes:
            self._reporter.note(text)
        if not is_same:
            self._reporter.phase(now.phase, now.total)
        advance = now.done - (before.done if is_same else 0)
        if advance:
            self._reporter.advance(advance)
        self._progress = now

    def _remove(self) -> None:
        """Remove the job and what was exchanged, if the job is still this run's."""
        self._api.patience_s = self._settings.cleanup_patience_s
        try:
            for _ in range(_MAX_TRIES):
                job = self._api.read(self.name)
                annotations = {} if job is None else job["metadata"].get("annotations") or {}
                if job is not None and annotations.get(OWNER) != self._owner:
                    self._reporter.note(f"RayJob {self.name}: left to {annotations.get(OWNER)}, who wants it further")
                    return
                try:
                    if job is not None and not job["metadata"].get("deletionTimestamp"):
                        self._api.delete(job)
                    break
                except ConflictError:
                    continue
            if self._exchange is not None:
                self._exchange.clear()
        except UserError as error:
            # said and not raised: the run's own end, good or bad, is what its user must see
            deadline_s, namespace = self._settings.active_deadline_s, self._settings.namespace
            self._reporter.note(
                f"RayJob {self.name}: could not be removed ({error}); KubeRay ends it within {deadline_s} s of its "
                f"start, or: kubectl -n {namespace} delete rayjob {self.name}"
            )


def _exchange_root(settings: RayJobConfig) -> str:
    if settings.exchange:
        return settings.exchange.rstrip("/")
    mirror = environment.store_mirror()
    return f"{mirror.rstrip('/')}/rayjobs" if mirror else str(environment.store_root() / "rayjobs")


@contextmanager
def ended_by_sigterm(message: str) -> Iterator[None]:
    """SIGTERM raises StoppedError inside of the block, once; `_hear_no_more` ends that before the clean-up.

    Only the main thread of a program hears signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        _hear_no_more()
        raise StoppedError(f"{message}: run again to go on")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _hear_no_more() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
