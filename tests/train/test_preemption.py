"""A driver that is killed, then one that is told to end, then one that is left alone: the result is that of one run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from hazardline.train.checkpoint_store import FINAL_NAME, FolderStore
from hazardline.train.document import ADAPTER_FOLDER, STATE_NAME, TrainingReport, TrainingState
from hazardline.train.loop import train_branch
from tests.train.jobs import OneWorker, make_job, small_config

ROOT = Path(__file__).parents[2]
NUM_STEPS = 90
PATIENCE_S = 120
RAYS_AGENTS = ("ray::DashboardA", "ray::DashboardAgent", "ray::RuntimeEnv", "ray::RuntimeEnvAgent")
"""Two idle helpers of Ray, which try to report a killed driver for some minutes before they end."""


class Driver:
    """The stage in a process, and what it started."""

    def __init__(self, folder: Path, base: Path, inputs: dict[str, Path], name: str) -> None:
        config = small_config(base, num_steps=NUM_STEPS, checkpoint_every_steps=10, branches={"linguistic": {}})
        job = {
            "section": config.data(),
            "inputs": {name: str(path) for name, path in inputs.items()},
            "out": str(folder / name),
        }
        (folder / f"{name}.json").write_text(json.dumps(job))
        self.out = folder / name
        self.checkpoints = folder / "home" / "checkpoints"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.train.driver", str(folder / f"{name}.json")],
            cwd=ROOT,
            env={**os.environ, "HAZARDLINE_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def newest_step(self) -> int:
        return max((int(path.name[-8:]) for path in self.checkpoints.glob("*/linguistic/step-*")), default=0)

    def wait_for_step(self, step: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.newest_step() < step:
            assert time.monotonic() < end and self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.01)

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit status and what was printed. Nothing that computes outlives the driver."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        started = [process for process in children if process.name() not in RAYS_AGENTS]
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        assert started and psutil.wait_procs(started, timeout=30)[1] == []
        return self.process.returncode, said


def test_killed_then_preempted_then_finished(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    config = small_config(base, num_steps=NUM_STEPS)
    undisturbed = make_job(tmp_path / "undisturbed", config, inputs, features)
    train_branch(undisturbed, OneWorker(), FolderStore(Path(undisturbed.checkpoints)))
    expected = Path(undisturbed.checkpoints) / FINAL_NAME

    first = Driver(tmp_path, base, inputs, "first")
    first.wait_for_step(10)
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    reached = first.newest_step()
    assert 10 <= reached < NUM_STEPS and not list(first.checkpoints.glob(f"*/*/{FINAL_NAME}"))

    second = Driver(tmp_path, base, inputs, "second")
    second.wait_for_step(reached + 10)
    status, said = second.end(signal.SIGTERM)
    assert status == 2 and "goes on from the checkpoint of step" in said
    assert "train: stopped by SIGTERM (linguistic after step " in said and "run again to go on" in said
    stopped_at = int(said.partition("linguistic after step ")[2].partition(")")[0])
    assert second.newest_step() == stopped_at < NUM_STEPS

    third = Driver(tmp_path, base, inputs, "third")
    said, _ = third.process.communicate(timeout=PATIENCE_S)
    assert third.process.returncode == 0, said
    assert f"goes on from the checkpoint of step {stopped_at}" in said
    report = TrainingReport.read(third.out / "training.json").branches["linguistic"]
    state = TrainingState.read(expected / STATE_NAME)
    assert [point.loss for point in report.losses] == state.losses
    weights = "adapter_model.safetensors"
    assert (third.out / "linguistic" / weights).read_bytes() == (expected / ADAPTER_FOLDER / weights).read_bytes()
    assert not third.checkpoints.exists() or not list(third.checkpoints.iterdir())
