"""Between the driver and workers on other machines: progress in one direction, the request to stop in the other.

A worker writes its lines into a file, as always, here of its own machine. A thread carries them to an actor beside the
driver, which appends them to the driver's file. What reads that file knows nothing of this.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hazardline.tasks import Branch
from hazardline.train.document import BranchJob

_CARRY_EVERY_S = 0.25


class _Board:
    """What the actor holds: lines that the driver has not taken yet, and who is to stop."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, bytes] = defaultdict(bytes)
        self._stopped: set[str] = set()

    def add(self, branch: str, lines: bytes) -> bool:
        """Take lines of a worker; tells whether its branch is asked to stop."""
        self._lines[branch] += lines
        return branch in self._stopped

    def take(self, branch: str) -> bytes:
        """Hand the lines over."""
        return self._lines.pop(branch, b"")

    def stop(self, branch: str) -> None:
        """Ask a branch to stop."""
        self._stopped.add(branch)


class Channel:
    """The driver's end."""

    def __init__(self, name: str) -> None:
        """Start the actor, on the driver's machine, so that it lives as long as the driver does."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(num_cpus=0)(_Board)
        self._board: Any = actor.options(name=name, scheduling_strategy=here).remote()

    def pull(self, job: BranchJob) -> None:
        """Append what the workers have said to the job's progress file."""
        import ray

        lines: bytes = ray.get(self._board.take.remote(job.branch))
        if lines:
            with job.progress.open("ab") as stream:
                stream.write(lines)

    def stop(self, branch: Branch) -> None:
        """Ask the workers of a branch to save and end."""
        self._board.stop.remote(branch)


@contextmanager
def carried(job: BranchJob) -> Iterator[BranchJob]:
    """In a worker: the job with a progress file of this machine, whose lines are carried to the driver.

    When the block ends, the driver has all of them.
    """
    import ray

    if job.channel is None:
        yield job
        return
    board: Any = ray.get_actor(job.channel)
    with TemporaryDirectory(prefix="hazardline-worker-") as folder:
        here = job.model_copy(update={"progress": Path(folder) / job.progress.name})
        ended = threading.Event()
        thread = threading.Thread(target=_carry, args=(here, board, ended), name="progress", daemon=True)
        thread.start()
        try:
            yield here
        finally:
            ended.set()
            thread.join()


def _carry(job: BranchJob, board: Any, ended: threading.Event) -> None:
    import ray
    from ray.exceptions import RayActorError

    offset, is_last = 0, False
    while not is_last:
        is_last = ended.wait(_CARRY_EVERY_S)
        lines = b""
        if job.progress.is_file():
            with job.progress.open("rb") as stream:
                stream.seek(offset)
                whole, newline, _ = stream.read().rpartition(b"\n")
            lines = whole + newline
        try:
            is_asked_to_stop = ray.get(board.add.remote(job.branch, lines))
        except RayActorError:  # the driver is gone, and Ray ends this worker
            return
        offset += len(lines)
        if is_asked_to_stop:
            job.stop_request.touch()
