"""Worker processes that make scenes: recycled, replaced when they die, and never losing a scene without a word.

A worker is a fresh interpreter that runs this module and speaks JSON lines: one job in, one answer a scene out. (The
spawned processes of `multiprocessing` would import the parent's main module too, and with it whatever that needs.)
"""

import json
import os
import subprocess
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from hazardline.errors import UserError
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.scene import SceneName, SceneResult, make_scene

SCENES_PER_WORKER = 25
"""Panda3D keeps 1 to 2 MB a scene."""
WORKER = ["-m", "hazardline.simulate.workers"]
"""Arguments of the interpreter that make it a worker."""
MAX_DEATHS = 2
"""A scene during which this many workers died is given up."""


@dataclass(frozen=True)
class Death:
    """A scene that was given up because the processes that worked on it died."""

    name: SceneName
    family: str
    seed: int
    exit_code: int | None


class _Worker:
    """A running worker, the scenes it still owes, and a thread that passes its answers on (None at the end)."""

    def __init__(self, job: dict[str, Any], scenes: list[SceneName], answers: "SimpleQueue[_Answer]") -> None:
        self.scenes = deque(scenes)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, *WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._job = {**job, "scenes": [[name.sort, name.number] for name in scenes]}
        self._thread = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        self._thread.start()

    def _listen(self, answers: "SimpleQueue[_Answer]") -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            with self.process.stdin as stream:
                stream.write(json.dumps(self._job))
        except BrokenPipeError:
            pass  # it died at birth: the end of its answers says so
        for line in self.process.stdout:
            answers.put((self, line))
        answers.put((self, None))

    def end(self) -> int:
        """Stop if need be, wait, and return the exit code."""
        if self.process.poll() is None and self.scenes:
            self.process.kill()
        code = self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


_Answer = tuple[_Worker, str | None]


def make_scenes(config: SimulateConfig, scenes: list[SceneName], out: Path) -> Iterator[SceneResult | Death]:
    """Make scenes in parallel; results come as they are ready, in no fixed order.

    Raises:
        UserError: a worker found something that the user can mend.
        RuntimeError: a defect, with the scene's seed and the worker's traceback.
    """
    waiting, deaths = deque(scenes), dict.fromkeys(scenes, 0)
    share = max(1, -(-len(scenes) // config.num_workers))
    answers: SimpleQueue[_Answer] = SimpleQueue()
    running: set[_Worker] = set()
    job = {"config": config.data(), "out": str(out)}
    try:
        while waiting or running:
            while waiting and len(running) < config.num_workers:
                batch = [waiting.popleft() for _ in range(min(SCENES_PER_WORKER, share, len(waiting)))]
                running.add(_Worker(job, batch, answers))
            worker, line = answers.get()
            if line is not None:
                yield _read_answer(config, worker.scenes.popleft(), json.loads(line))
                continue
            running.discard(worker)
            code = worker.end()
            if worker.scenes:
                lost = worker.scenes[0]
                deaths[lost] += 1
                if deaths[lost] >= MAX_DEATHS:
                    worker.scenes.popleft()
                    yield Death(lost, lost.family(config), lost.seed(config), code)
                waiting.extendleft(reversed(worker.scenes))
    finally:
        for worker in running:
            worker.end()


def _read_answer(config: SimulateConfig, name: SceneName, answer: dict[str, Any]) -> SceneResult:
    if "user_error" in answer:
        raise UserError(answer["user_error"])
    if "defect" in answer:
        raise RuntimeError(f"scene {name.sort} {name.number} (seed {name.seed(config)}) failed:\n{answer['defect']}")
    return SceneResult(name, name.family(config), name.seed(config), answer["rows"], Counter(answer["rejected"]))


def work(job: dict[str, Any], answers: TextIO) -> None:
    """Body of a worker process: make the scenes of a job in order, one line of answer each."""
    from hazardline.simulate.render import Renderer

    try:
        config = SimulateConfig.parse(job["config"], "simulate")
        renderer = Renderer(config.width_px, config.height_px)
        for sort, number in job["scenes"]:
            result = make_scene(config, SceneName(sort, number), renderer, Path(job["out"]))
            print(json.dumps({"rows": result.rows, "rejected": result.rejected}), file=answers, flush=True)
        renderer.close()
    except UserError as error:
        print(json.dumps({"user_error": str(error)}), file=answers, flush=True)
    except Exception:  # any defect crosses to the parent process as text, and `_read_answer` raises it there
        print(json.dumps({"defect": traceback.format_exc()}), file=answers, flush=True)


def main() -> None:
    """Read a job from standard input; answer on standard output, which nothing else may write to."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with answers:
        work(json.load(sys.stdin), answers)


if __name__ == "__main__":
    main()
