"""Runs the branches as Ray Train jobs, side by side on one Ray.

With `RAY_ADDRESS` set that cluster is used. Its nodes must see the folders of a job, unless a mirror is set
(HAZARDLINE_STORE_MIRROR): then inputs come from there, and progress goes through an actor.
Otherwise one is started on this machine for the length of the run, without dashboard, and stopped again.
"""

import json
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from hazardline import environment
from hazardline.errors import UserError
from hazardline.tasks import Branch
from hazardline.train.checkpoint_store import open_store
from hazardline.train.document import BranchJob
from hazardline.train.ray_channel import Channel, carried
from hazardline.train.shared_inputs import present_inputs

if TYPE_CHECKING:  # the driver and Ray's controllers do without torch: each would hold half a gigabyte
    from torch import Tensor

    from hazardline.train.loop import Workers

POLL_S = 0.25
_MAX_TEMP_PATH = 36
"""Ray's sockets lie about 70 bytes below its temporary folder, and a socket's path has at most 107."""
_OBJECT_STORE_BYTES = 80 << 20  # nothing but arguments goes through it; Ray's least
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
}
"""Ray's own settings, each kept where the user has set it."""

_WORKER_ENVIRONMENT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}
"""oneDNN keeps 1,024 compiled kernels, and rows of many lengths fill them: 250 MB a worker for no gain in time."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
_MAX_STARTS = 3

OnEvent = Callable[[Branch, Mapping[str, Any]], None]
"""Called in the driver for every line that a branch's worker has written."""
Work = Callable[[dict[str, Any]], None]
"""What a worker runs: it is given a `BranchJob` as plain data."""


@contextmanager
def ray_session(num_cpus: int) -> Iterator[None]:
    """Ray for the length of a block; one that is there already is used and left alone.

    Args:
        num_cpus: workers that must find a place on a Ray that is started here.

    Raises:
        UserError: Ray did not come up, or the cluster of `RAY_ADDRESS` cannot be reached.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("RAY_ADDRESS")
    if address is None:  # a cluster has chosen its own way, and KubeRay tells it to all pods of a RayJob
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray would write one into the home folder
    import ray

    if ray.is_initialized():
        yield
        return
    folder = _short_temp_folder()
    try:
        if address is None:
            _start_ray(num_cpus, folder)
        else:
            _join_ray(address)
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_ray(num_cpus: int, folder: Path) -> None:
    """Start Ray on this machine. Ray gives its own processes 30 s, which a busy machine may need more than once."""
    import ray

    for _ in range(_MAX_STARTS):
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(folder),
                **_QUIET,
            )
            return
        except Exception as error:  # Ray raises no narrower class here
            if "timed out during startup" not in str(error):
                raise
            _end_leftovers(folder)
    raise UserError(
        f"Ray did not start on this machine in {_MAX_STARTS} tries of 30 s: other programs take the processors; end "
        "them and run again, or set RAY_ADDRESS to a Ray cluster that runs"
    )


def _join_ray(address: str) -> None:
    import ray

    try:
        ray.init(**_QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"RAY_ADDRESS={address}: {said}; expected the address of a running Ray cluster") from None


def _end_leftovers(folder: Path) -> None:
    """End what a Ray that did not come up has started: its processes name the temporary folder."""
    started = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if str(folder) in " ".join(process.cmdline()):
                process.kill()
                started.append(process)
    psutil.wait_procs(started, timeout=10)


def _short_temp_folder() -> Path:
    parent = tempfile.gettempdir()
    is_short = len(parent) + len("/hz-ray-12345678") <= _MAX_TEMP_PATH
    return Path(tempfile.mkdtemp(prefix="hz-ray-", dir=parent if is_short else "/tmp"))  # noqa: S108 - mkdtemp


def train_branches(
    jobs: Sequence[BranchJob],
    storage: Path,
    on_event: OnEvent,
    work: Work | None = None,
    stop: threading.Event | None = None,
) -> set[Branch]:
    """Train branches side by side on the Ray of this process; their final checkpoints lie where the jobs say.

    Args:
        jobs: one a branch.
        storage: folder for Ray's own records of the run.
        on_event: told of every step.
        work: what a worker runs; `work_on_branch` by default.
        stop: set to have the workers save and end.

    Returns:
        The branches that ended before their time because `stop` was set.

    Raises:
        UserError: what a worker found wrong with its inputs.
        ray.train.TrainingFailedError: workers were lost more often than the recipe allows.
    """
    channels = {name: Channel(name) for name in {job.channel for job in jobs} if name is not None}
    runs = [_Run(job, storage, work or work_on_branch, channels.get(job.channel or "")) for job in jobs]
    for run in runs:
        run.thread.start()
    while any(run.thread.is_alive() for run in runs):
        time.sleep(POLL_S)
        if stop is not None and stop.is_set():
            for run in runs:
                run.ask_to_stop()
        for run in runs:
            run.poll(on_event)
    for run in runs:
        run.poll(on_event)
    return {run.job.branch for run in runs if run.was_stopped}


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets for the length of a block: a machine that is taken away says so first.

    Only the main thread of a program hears signals; in any other the event stays unset.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass
class _Run:
    """A trainer in a thread of its own (Ray allows that), and how far its progress file has been read."""

    job: BranchJob
    storage: Path
    work: Work
    channel: Channel | None = None
    was_stopped: bool = False
    error: BaseException | None = None
    offset: int = 0
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        # a daemon: where another branch fails, Ray is shut down without waiting for this one
        self.thread = threading.Thread(target=self._fit, name=f"train-{self.job.branch}", daemon=True)

    def _fit(self) -> None:
        try:
            _trainer(self.job, self.storage, self.work).fit()
        except BaseException as error:
            self.error = error  # raised again by the thread that polls

    def ask_to_stop(self) -> None:
        self.job.stop_request.touch()
        if self.channel is not None:
            self.channel.stop(self.job.branch)

    def poll(self, on_event: OnEvent) -> None:
        if self.channel is not None:
            self.channel.pull(self.job)
        for event in self._new_events():
            if "error" in event:
                raise UserError(event["error"])
            self.was_stopped |= "stopped" in event
            on_event(self.job.branch, event)
        if self.error is not None:
            raise self.error

    def _new_events(self) -> list[dict[str, Any]]:
        if not self.job.progress.is_file():
            return []
        with self.job.progress.open("rb") as stream:
            stream.seek(self.offset)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self.offset += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]


def _trainer(job: BranchJob, storage: Path, work: Work) -> Any:
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
    settings: dict[str, Any] = {
        "train_loop_config": job.data(),
        "scaling_config": ScalingConfig(
            num_workers=job.config.num_workers,
            use_gpu=has_gpus,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if has_gpus else {})},
        ),
        "run_config": RunConfig(
            name=job.branch,
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=job.config.max_failures),
            worker_runtime_env={"env_vars": _worker_environment(job)},  # type: ignore[call-arg]
        ),
    }
    if job.config.num_workers == 1 and job.config.parallelism == "replicas":
        from hazardline.train.ray_trainer import LeanTrainer

        return LeanTrainer(work, **settings)
    from ray.train.torch import TorchConfig

    from hazardline.train.ray_torch_trainer import LeanTorchTrainer

    return LeanTorchTrainer(work, torch_config=TorchConfig(backend="nccl" if has_gpus else "gloo"), **settings)


def _worker_environment(job: BranchJob) -> dict[str, str]:
    """Settings of a worker; addresses, where it needs them, but never a secret: those its pod has."""
    names = (environment.STORE_MIRROR, environment.S3_ENDPOINT) if job.channel is not None else ()
    return {**_WORKER_ENVIRONMENT, **{name: os.environ[name] for name in names if name in os.environ}}


def work_on_branch(data: dict[str, Any]) -> None:
    """What a Ray worker runs: the job, with everything that it tells the driver."""
    with carried(BranchJob.parse(data, "job of a Ray worker")) as job:
        run_job(job, RayWorkers())


def run_job(job: BranchJob, workers: "Workers") -> None:
    """Train a branch; its start, its end before time and an error that the user can mend go into the progress file."""
    from hazardline.train.loop import train_branch

    if workers.rank == 0:
        job.tell({"started": True})
    try:
        if job.channel is not None:
            job = present_inputs(job)
        is_finished = train_branch(job, workers, open_store(job.checkpoints))
    except UserError as error:
        job.tell({"error": str(error)})
        raise
    if not is_finished and workers.rank == 0:
        job.tell({"stopped": True})


class RayWorkers:
    """`hazardline.train.loop.Workers` inside a Ray worker."""

    def __init__(self) -> None:
        """Ask Ray who this worker is."""
        import ray.train

        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.count: int = context.get_world_size()

    def sum(self, tensor: "Tensor") -> None:
        """All-reduce, where there is more than one worker."""
        if self.count > 1:
            import torch.distributed

            if torch.distributed.get_backend() != "nccl":
                torch.distributed.all_reduce(tensor)
                return
            on_device = tensor.cuda()  # NCCL adds up tensors on a GPU alone
            torch.distributed.all_reduce(on_device)
            tensor.copy_(on_device)
