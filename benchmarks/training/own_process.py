"""A training run of this environment in a fresh process, on one thread: written down, started, read again."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.training.clips import Question, VideoClip
from benchmarks.training.environment import BENCH, run_on_one_thread
from benchmarks.training.run import Run


def train_in_own_process(module: str, run: Run, clips: list[VideoClip], name: str) -> dict[str, Any]:
    """Start a module on a run; it reads its task by `task_of` and writes its figures to the second argument."""
    folder = BENCH / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    task = {
        "run": {**asdict(run), "checkpoint": str(run.checkpoint)},
        "clips": [{"video": str(clip.video), "questions": [asdict(one) for one in clip.questions]} for clip in clips],
        "folder": str(folder),
    }
    (folder / "task.json").write_text(json.dumps(task))
    command = [sys.executable, "-W", "ignore", "-m", module, str(folder / "task.json")]
    run_on_one_thread([*command, str(folder / "figures.json")], folder / "log.txt")
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return figures


def task_of(path: Path) -> tuple[Run, list[VideoClip], Path]:
    """The run, its clips, and a folder for what the run leaves behind."""
    task = json.loads(path.read_text())
    run = Run(**{**task["run"], "checkpoint": Path(task["run"]["checkpoint"])})
    clips = [
        VideoClip(Path(clip["video"]), (), tuple(Question(**one) for one in clip["questions"]))
        for clip in task["clips"]
    ]
    return run, clips, Path(task["folder"])
