"""Worker processes that may crash or hang on one file without harm to the others.

A decoder is C code that reads what strangers wrote. Each item runs in one of a few spawned processes; where a process
dies or passes its deadline, the item is reported as lost, the process is replaced, and the rest goes on.
"""

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

_START_TIMEOUT_S = 600.0
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Lost:
    """The process of an item died or was ended; `detail` says how."""

    detail: str


def run_isolated(
    function: Callable[[T], R],
    items: Iterable[T],
    num_workers: int,
    timeout_s: float,
    prepare: Callable[[], None] | None = None,
) -> Iterator[tuple[int, R | Lost]]:
    """Apply a function to items in processes; yields (index, result) in the order of completion.

    Args:
        function: At the top level of a module; it and its results are pickled.
        items: What it is applied to; taken one at a time, as processes become free.
        num_workers: Processes at a time.
        timeout_s: What one item may take.
        prepare: Called once in each process.

    Raises:
        RuntimeError: the function raised (a defect; its traceback is the message), or a process cannot start.
    """
    pending = _Pending(items)
    workers: dict[Connection, _Worker] = {}
    try:
        while pending or workers:
            while pending and len(workers) < num_workers:
                worker = _Worker(function, prepare)
                workers[worker.connection] = worker
            yield from _turn(workers, pending, timeout_s)
    finally:
        for worker in workers.values():
            worker.end()


class _Pending:
    """Numbered items that are still to be given out."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = enumerate(items)
        self._next = next(self._items, None)

    def __bool__(self) -> bool:
        return self._next is not None

    def take(self) -> tuple[int, Any]:
        assert self._next is not None
        taken, self._next = self._next, next(self._items, None)
        return taken


class _Worker:
    """One process, the item it works on (None while it starts), and its deadline."""

    def __init__(self, function: Callable[[Any], Any], prepare: Callable[[], None] | None) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy the locks of running threads
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, prepare), daemon=True)
        self.process.start()
        theirs.close()
        self.index: int | None = None
        self.deadline_s = time.monotonic() + _START_TIMEOUT_S

    def give(self, index: int, item: Any, timeout_s: float) -> None:
        self.index, self.deadline_s = index, time.monotonic() + timeout_s
        self.connection.send(item)

    def end(self) -> int | None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _turn(workers: dict[Connection, _Worker], pending: "_Pending", timeout_s: float) -> Iterator[tuple[int, Any]]:
    """Wait for one of the workers and hand out the next items."""
    deadline_s = min(worker.deadline_s for worker in workers.values())
    ready = wait(list(workers), max(0.0, deadline_s - time.monotonic()))
    for connection in ready:
        assert isinstance(connection, Connection)
        worker = workers[connection]
        try:
            kind, value = connection.recv()
        except (EOFError, ConnectionError):
            worker.process.join()
            yield from _bury(workers, worker, f"the decoding process died (exit code {worker.process.exitcode})")
            continue
        if kind == "error":
            raise RuntimeError(f"a worker process failed:\n{value}")
        finished = worker.index
        if pending:
            worker.give(*pending.take(), timeout_s)
        else:
            del workers[connection]
            worker.end()
        if finished is not None:
            yield finished, value
    for worker in [w for w in workers.values() if w.deadline_s <= time.monotonic()]:
        yield from _bury(workers, worker, f"not decoded within {timeout_s:.0f} s")


def _bury(workers: dict[Connection, _Worker], worker: _Worker, detail: str) -> Iterator[tuple[int, Lost]]:
    del workers[worker.connection]
    worker.end()
    if worker.index is None:
        raise RuntimeError(f"a worker process cannot start: {detail}")
    yield worker.index, Lost(detail)


def _serve(connection: Connection, function: Callable[[Any], Any], prepare: Callable[[], None] | None) -> None:
    """The loop of a worker process: a greeting, then one answer an item, until the parent closes the pipe."""
    try:
        if prepare is not None:
            prepare()
        connection.send(("ready", None))
        while True:
            connection.send(("done", function(connection.recv())))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception:  # carried over to the parent, which raises it
        connection.send(("error", traceback.format_exc()))
