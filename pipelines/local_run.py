"""Runs a recipe's pipeline on this machine with KFP's local runner, and shows how far it is.

A task is a process, or a container (`pipelines/containers.py`).

KFP prints a great deal: it goes to a log file in the run's folder, with everything that stages print. What the user
sees is drawn from the events that stages write.
"""

import contextlib
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from kfp import dsl, local
from rich.console import Console

from hazardline import environment
from hazardline.cli.display import EventTail, ProgressDisplay
from hazardline.notify.notice import TASK as NOTIFY
from hazardline.recipe import Recipe
from hazardline.stage_events import USER_ERROR_STATUS
from hazardline.store import StageRecord

from pipelines.containers import Containers
from pipelines.fine_tune import Place, arguments_of, pipeline_for, right_here

DEFECT_STATUS = 1
_POLL_S = 0.2
_LAST_BEHIND_A_CLOSED_GATE = "register"
_KFP, _WORKSPACE = "kfp", "workspace"
_NO_OUTPUT = "Tried to get output"
"""How KFP's message begins."""


@dataclass(frozen=True)
class RunFolder:
    """Where one run leaves its log, its events and its summary."""

    path: Path

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.path.name

    @property
    def log(self) -> Path:
        """Everything that KFP and the stages printed."""
        return self.path / "pipeline.log"

    @property
    def events(self) -> Path:
        """What the stages said of their progress, one JSON document a line."""
        return self.path / "events.jsonl"

    @property
    def summary(self) -> Path:
        """What came of it."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """Evaluation for people; one self-contained page."""
        return self.path / "report.html"


@dataclass(frozen=True)
class Work:
    """A pipeline with its arguments, and the tasks whose progress is shown."""

    pipeline: dsl.base_component.BaseComponent
    arguments: Mapping[str, str]
    tasks: tuple[str, ...]
    lacking: Callable[[Mapping[str, StageRecord]], list[str]] = lambda records: []
    """Of the records of a run, which tasks should have ended well and did not."""


def line_of(recipe: Recipe, place: Place = right_here) -> Work:
    """The line of a recipe."""
    names = tuple(stage.name for stage in recipe.stages())
    return Work(pipeline_for(recipe, place), arguments_of(recipe), names, partial(_lacking, names))


def _lacking(names: Sequence[str], records: Mapping[str, StageRecord]) -> list[str]:
    """Stages that should have ended well and did not; behind a closed gate only register is wanted."""
    if "gate" in records and not records["gate"].summary["passed"]:
        names = names[: names.index(_LAST_BEHIND_A_CLOSED_GATE) + 1]
    return [name for name in names if name not in records]


@dataclass
class Outcome:
    """How a run ended."""

    wall_s: float
    status: int
    records: dict[str, StageRecord] = field(default_factory=dict)
    """Record of every stage that ended well, in the order of their ends."""
    failed_stage: str | None = None
    error: str | None = None
    told: bool = False
    """Whether a task that tells others of the run has come to an end, well or not."""


def new_run_folder(recipe: Recipe, recipe_file: Path) -> RunFolder:
    """A folder for a new run, with a copy of the recipe."""
    run_id = f"{recipe.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = RunFolder(environment.home() / "runs" / run_id)
    folder.path.mkdir(parents=True)
    shutil.copyfile(recipe_file, folder.path / "recipe.yaml")
    return folder


def run_locally(work: Work, folder: RunFolder, console: Console, containers: Containers | None = None) -> Outcome:
    """Run a pipeline to its end or to the first failure, drawing progress on the console.

    Args:
        work: what to run.
        folder: the run's folder.
        console: where progress is drawn.
        containers: what tasks run in; None: processes of this environment.
    """
    begin = time.monotonic()
    watcher = _Watcher(folder, ProgressDisplay(console, work.tasks))
    status = 0
    with (
        watcher,
        folder.log.open("w", encoding="utf-8", buffering=1) as log,
        _stage_environment(folder),
        _stages_end_with_the_run(),
    ):
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            try:
                with _runner(folder, containers) as runner:
                    _run_pipeline(work, folder, runner)
            except RuntimeError as error:
                print(f"KFP: {error}")
                status = DEFECT_STATUS
    outcome = Outcome(round(time.monotonic() - begin, 2), status, watcher.records, told=watcher.told)
    if status == 0 and work.lacking(outcome.records):
        # KFP takes a container that is gone before it can be asked for its status for a success.
        outcome.status = DEFECT_STATUS
    if outcome.status:
        _explain(work, outcome, watcher)
    return outcome


def _run_pipeline(work: Work, folder: RunFolder, runner: Any) -> None:
    local.init(
        runner=runner,
        pipeline_root=str(folder.path / _KFP),
        workspace_root=str(folder.path / _WORKSPACE),
        raise_on_error=True,
    )
    try:
        work.pipeline(**work.arguments)
    except ValueError as error:
        # A task that was taken for a success left nothing, and the next one asks for its output.
        if not str(error).startswith(_NO_OUTPUT):
            raise
        raise RuntimeError(str(error)) from error


@contextlib.contextmanager
def _runner(folder: RunFolder, containers: Containers | None) -> Iterator[Any]:
    """KFP's runner for the length of a run."""
    if containers is None:
        yield local.SubprocessRunner(use_venv=False)
        return
    for name in (_KFP, _WORKSPACE):  # Docker would make them as root
        (folder.path / name).mkdir()
    with containers.runner(folder.run_id, folder.path, _addresses(folder)) as runner:
        yield runner


def _addresses(folder: RunFolder) -> dict[str, str]:
    """Where stages find the home, the store and the file of events."""
    return {
        environment.HOME: str(environment.home()),
        environment.STORE: str(environment.store_root()),
        environment.DATASETS: str(environment.datasets_root()),
        environment.EVENTS: str(folder.events),
    }


@contextlib.contextmanager
def _stage_environment(folder: RunFolder) -> Iterator[None]:
    """Addresses for the stages' processes, which inherit this environment."""
    wanted = {
        **_addresses(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _stages_end_with_the_run() -> Iterator[None]:
    """Take a running stage down with this process when it is asked to end: it would work on unseen otherwise."""

    def end(number: int, frame: object) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _explain(work: Work, outcome: Outcome, watcher: "_Watcher") -> None:
    """Say which stage failed and why, from its last event; a stage that was killed could not write one."""
    if watcher.failure is not None and watcher.lost is None:
        outcome.failed_stage, outcome.error = watcher.failure["stage"], watcher.failure["error"]
        is_defect = watcher.failure.get("is_defect", False)
        outcome.status = DEFECT_STATUS if is_defect else USER_ERROR_STATUS
    elif watcher.lost is not None or watcher.running is not None:
        outcome.failed_stage = watcher.lost or watcher.running
        outcome.error = "the process was ended from outside (out of memory, or killed)"
    else:
        outcome.failed_stage = next(iter(work.lacking(outcome.records)), None)
        outcome.error = "it was ended before it began; see the log"


class _Watcher:
    """Follows the event file in a thread, feeds the display, and keeps what the end of the run needs."""

    def __init__(self, folder: RunFolder, display: ProgressDisplay) -> None:
        self.records: dict[str, StageRecord] = {}
        self.failure: dict[str, Any] | None = None
        self.running: str | None = None
        self.lost: str | None = None
        """A task that had not ended when the next one began: local tasks run one after another."""
        self.told = False
        self._display = display
        self._tail = EventTail(folder.events)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> "_Watcher":
        self._display.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._done.set()
        self._thread.join()
        self._read()
        self._display.__exit__(None, None, None)

    def _watch(self) -> None:
        while not self._done.wait(_POLL_S):
            self._read()
            self._display.tick()

    def _read(self) -> None:
        for event in self._tail.read():
            self._display.handle(event)
            state = event.get("state")
            if state == "started":
                self.lost = self.lost or self.running
                self.running = event["stage"]
                continue
            if state is None:
                continue
            self.running = None
            self.told = self.told or event["stage"] == NOTIFY
            if state == "failed":
                self.failure = self.failure or event  # what comes after the first is a consequence
            elif "record" in event:
                self.records[event["stage"]] = StageRecord.parse(event["record"], "event")
