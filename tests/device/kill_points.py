"""A program for `test_killed.py`: real updates in processes of their own, killed at chosen file-system operations.

    kill_points.py WORLD DEVICE NUM_POINTS SEED

An audit hook counts what the update does to the device's folder (open for writing, rename, link, remove, mkdir, ...)
and to processes, and kills its own process with SIGKILL just before the n-th of them, so that a point can be repeated.
Processes are forked from this one, which has imported everything already. Prints one JSON list: a result a point.
"""

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hazardline.device.bundle import verify_bundle
from hazardline.device.health import HealthResult
from hazardline.device.slots import start
from hazardline.device.state import DeviceFolder
from hazardline.device.update import update
from hazardline.errors import UserError
from tests.device.tiny_probe import answer
from tests.release.world import World

WATCHED = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate", "os.chmod")


def watch(folder: Path, limit: int | None, count: list[str]) -> None:
    """Count operations below a folder; with a limit, die before that many are done."""
    prefix = str(folder)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not (writes and isinstance(path, str) and path.startswith(prefix)):
                return
        elif event in WATCHED:
            if not any(str(argument).startswith(prefix) for argument in arguments):
                return
        elif event != "subprocess.Popen":
            return
        count.append(f"{event} {Path(str(arguments[0])).name}")
        if limit is not None and len(count) >= limit:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(work: Callable[[], object], found: Path) -> int:
    """Run in a forked process; its result goes to a file. Returns the wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            found.write_text(json.dumps(work()))
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def updating(world: World, device: DeviceFolder, limit: int | None) -> Callable[[], list[str]]:
    def work() -> list[str]:
        count: list[str] = []
        watch(device.root, limit, count)
        world.update(device)
        return count

    return work


def answers_alike(bundle: Path) -> HealthResult:
    """The same verdict as the health check's, without a process: what comes after a kill is not killed itself."""
    golden = json.loads((bundle / "golden/golden.json").read_bytes())
    odd = [clip["path"] for clip in golden["clips"] if answer(bundle, bundle / clip["path"]) != clip["answers"]]
    return HealthResult(not odd, tuple(odd))


def restarting(world: World, device: DeviceFolder) -> Callable[[], dict[str, object]]:
    """What a fresh process finds: a slot that verifies and answers; and the next update gets through."""

    def work() -> dict[str, object]:
        answers: object
        try:
            folder = start(device)
            verify_bundle(folder)
            answers = answers_alike(folder).passed
        except UserError as error:
            # Only a device that never had a release may have nothing to start.
            if device.read().slots:
                raise
            answers = str(error)
        found = device.read().record()
        outcome = update(device, world.request(), answers_alike)
        return {
            "version": found.version if found else None,
            "answers": answers,
            "then": [outcome.status, outcome.version],
            "left": sorted(p.name for p in device.root.rglob("*") if p.name.endswith(".tmp")),
        }

    return work


def main(root: Path, name: str, num_points: int, seed: int) -> None:
    world, found = World.at(root), root / "found.json"
    fresh = root / name
    trial = DeviceFolder(root / "trial")
    shutil.copytree(fresh, trial.root, symlinks=True)
    in_child(updating(world, trial, None), found)
    operations = json.loads(found.read_text())
    results = []
    for point in sorted(random.Random(seed).sample(range(1, len(operations) + 1), num_points)):
        shutil.rmtree(trial.root)
        shutil.copytree(fresh, trial.root, symlinks=True)
        status = in_child(updating(world, trial, point), found)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        found.unlink(missing_ok=True)
        ended = in_child(restarting(world, trial), found)
        after = json.loads(found.read_text()) if ended == 0 else {"status": ended}
        results.append({"point": point, "before": operations[point - 1], "killed": killed, **after})
    print(json.dumps({"num_operations": len(operations), "operations": operations, "results": results}))


if __name__ == "__main__":
    os.fsync = lambda handle: None  # a killed process loses nothing that it has written; only a power cut does
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
