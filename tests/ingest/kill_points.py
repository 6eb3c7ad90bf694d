"""A program for `test_store_consistency.py`: ingests in processes of their own, killed at chosen points.

    kill_points.py FOOTAGE WORK NUM_POINTS

An audit hook counts what an ingest does to the data set store (open for writing, rename, remove, mkdir, statements
that insert into its SQLite files) and kills its own process with SIGKILL just before the n-th of them, so that a point
can be repeated. After every kill the store is verified, and a whole ingest must end with the expected version. Prints
one JSON list, a result a point.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hazardline.datasets.store import DatasetStore
from hazardline.datasets.verify import verify
from hazardline.ingest import executors, stage
from hazardline.ingest.config import IngestConfig
from hazardline.progress import SilentReporter

WATCHED = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.copyfile", "sqlite3.connect")


def in_line(pending, bench, **_):  # type: ignore[no-untyped-def]
    """Examine in this process, so that whatever it writes is counted."""
    return ((item.number, executors.examine(bench, item.media)) for item in pending)


def watch(folder: Path, limit: int | None, count: list[str]) -> None:
    prefix = str(folder)

    def seen(what: str) -> None:
        count.append(what)
        if limit is not None and len(count) >= limit:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str) and path.startswith(prefix):
                seen(f"open {Path(path).name}")
        elif event in WATCHED and any(str(argument).startswith(prefix) for argument in arguments):
            seen(f"{event} {Path(str(arguments[0])).name}")

    sys.addaudithook(hook)
    connect = sqlite3.connect

    def counted(path, *more, **named):  # type: ignore[no-untyped-def]
        database = connect(path, *more, **named)
        if str(path).endswith(("known.sqlite", "digests.sqlite")):
            database.set_trace_callback(lambda statement: seen(statement[:40]) if "INSERT" in statement else None)
        return database

    sqlite3.connect = counted


def ingest(footage: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    stage.run(IngestConfig(root=str(footage), dataset="mine"), {}, out, SilentReporter())


def in_child(footage: Path, work: Path, limit: int | None) -> tuple[int, list[str]]:
    found = work / "count.json"
    found.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            count: list[str] = []
            watch(Path(os.environ["HAZARDLINE_DATASETS"]), limit, count)
            ingest(footage, work / "out")
            found.write_text(json.dumps(count))
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    return status, json.loads(found.read_text()) if found.exists() else []


def main() -> None:
    footage, work, num_points = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    executors.in_processes = partial(in_line)
    root = work / "store"
    os.environ["HAZARDLINE_DATASETS"] = str(root)
    status, count = in_child(footage, work, None)
    assert status == 0, "an undisturbed ingest fails"
    head = DatasetStore(root).head("mine")
    assert head is not None
    expected = head.content_digest
    points = sorted({round(1 + k * (len(count) - 1) / (num_points - 1)) for k in range(num_points)})
    results = []
    for point in points:
        shutil.rmtree(root, ignore_errors=True)
        killed, _ = in_child(footage, work, point)
        store = DatasetStore(root)
        seen = verify(store, SilentReporter()).observations if root.is_dir() else ()
        again, _ = in_child(footage, work, None)
        head = store.head("mine")
        final = verify(store, SilentReporter())
        results.append(
            {
                "point": count[point - 1],
                "was_killed": os.WIFSIGNALED(killed) and os.WTERMSIG(killed) == signal.SIGKILL,
                "damage_after_kill": [str(item) for item in seen if item.severity == "damage"],
                "second_status": again,
                "is_expected": head is not None and head.content_digest == expected and head.parent is None,
                "is_consistent": final.is_consistent,
                "num_versions": final.num_versions,
            }
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
