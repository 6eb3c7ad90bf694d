"""The line itself, in the real pipeline with KFP's local runner, over stages that take no time (`tiny_stages`)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hazardline.run_summary import RunSummary
from hazardline.stages import STAGES

ROOT = Path(__file__).parents[2]
TINY_STAGES = Path(__file__).parent / "tiny_stages"
NAMES = [stage.name for stage in STAGES]
RUN_EVERY_TIME = ["register", "release", "device"]
POLICY = "version: gate_policy@1\nname: tiny@1\nrules:\n  - {{kind: test_clips, minimum: {minimum}}}\n"


class Line:
    """Runs a recipe in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.policy = folder / "policy.yaml"
        self.recipe = folder / "crashchat_pocket_smoke.yaml"
        self.data: dict[str, Any] = yaml.safe_load((ROOT / "recipes" / self.recipe.name).read_text())
        self.data["gate"] = {"policy": str(self.policy)}
        self.set_gate(minimum=1)

    def set_gate(self, minimum: int) -> None:
        self.policy.write_text(POLICY.format(minimum=minimum))

    def run(self) -> subprocess.CompletedProcess[str]:
        self.recipe.write_text(yaml.safe_dump(self.data))
        environment = {
            **os.environ,
            "HAZARDLINE_HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join([str(TINY_STAGES), str(ROOT / "src"), str(ROOT)]),
        }
        command = [sys.executable, "-W", "error::UserWarning", "-m", "pipelines", "run", str(self.recipe)]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def summary(self) -> dict[str, Any]:
        path = self.home / "runs" / "latest" / "summary.json"
        RunSummary.read(path)
        summary: dict[str, Any] = json.loads(path.read_text())
        return summary

    def made(self) -> list[str]:
        return [stage["name"] for stage in self.summary()["stages"] if not stage["cached"]]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A line that has run once, with an open gate. Each test leaves it so that the next one can go on."""
    line = Line(tmp_path_factory.mktemp("line"))
    line.run()
    return line


def test_an_open_gate_leads_to_the_device(line: Line) -> None:
    summary = line.summary()
    assert line.made() == NAMES
    assert summary["run_id"].startswith("crashchat_pocket_smoke-")
    assert summary["data"]["num_qa_pairs"] == 18
    assert summary["metrics"]["candidate"]["recognition_macro_f1"] == {"value": 0.5, "interval": [0.4, 0.6], "n": 3}
    assert summary["gate"] == {"passed": True, "reasons": ["3 test clips, 1 wanted"]}
    assert summary["bundle"]["files"][0]["path"] == "decoder.onnx"
    assert summary["device"] == {"slot": "a", "version": 1, "answers": {"clip": {"crash_recognition": "Yes"}}}


def test_tasks_leave_what_a_user_interface_shows(line: Line) -> None:
    (run,) = (line.home / "runs" / "latest" / "kfp").iterdir()

    def output(task: str, name: str) -> Path:
        (found,) = run.glob(f"**/{task}/**/{name}")
        return found

    assert output("evaluate", "report").read_text() == "<!doctype html>"
    for task, head in (
        ("split", "# Split"),
        ("evaluate", "# Evaluation"),
        ("gate", "# The gate is open"),
        ("release", "# Released"),
        ("device", "# Device"),
    ):
        assert output(task, "summary").read_text().startswith(head)
    said = json.loads(output("evaluate", "executor_output.json").read_text())["artifacts"]
    (scores,) = said["scores"]["artifacts"]
    (confusion,) = said["confusion"]["artifacts"]
    assert scores["metadata"]["recognition_macro_f1"] == 0.5
    assert confusion["metadata"]["confusionMatrix"]["rows"] == [{"row": [3, 0]}, {"row": [0, 0]}]
    (outcome,) = json.loads(output("gate", "executor_output.json").read_text())["artifacts"]["outcome"]["artifacts"]
    assert outcome["metadata"] == {"passed": 1.0, "rules": 1, "rules_failed": 0}


def test_an_unchanged_run_reuses_and_says_so(line: Line) -> None:
    done = line.run()
    assert line.made() == RUN_EVERY_TIME
    assert done.stdout.count("reused") >= len(NAMES) - len(RUN_EVERY_TIME)
    assert "Report: " in done.stdout and "MLflow: make ui" in done.stdout
    assert "Device: slot a, release 1; clip: Yes" in done.stdout
    assert "Streamed logs" not in done.stdout, "KFP's own words belong in the log"


def test_a_changed_section_makes_its_stage_anew_and_what_reads_it(line: Line) -> None:
    line.data["train"]["seed"] = 11
    line.run()
    # Evaluation is made anew and comes out the same here, so the gate, which reads nothing else, is reused.
    assert line.made() == ["train", "evaluate", "register", "export", "release", "device"]


def test_a_closed_gate_ends_the_line_after_register(line: Line) -> None:
    line.set_gate(minimum=1000)
    done = line.run()
    summary = line.summary()
    assert [stage["name"] for stage in summary["stages"]] == NAMES[: NAMES.index("register") + 1]
    assert line.made() == ["gate", "register"], "the policy's text is part of the gate's key"
    assert summary["gate"] == {"passed": False, "reasons": ["3 test clips, 1000 wanted"]}
    assert summary["registry"]["version"] == 1
    assert [summary[name] for name in ("parity", "bundle", "release", "device")] == [None] * 4
    assert "Device: was not updated: the gate is closed" in done.stdout


def test_footage_on_disk_needs_no_simulator(line: Line) -> None:
    footage = line.folder / "footage"
    footage.mkdir()
    line.data = {**line.data, "ingest": {"source": "native", "root": str(footage)}}
    del line.data["simulate"]
    line.set_gate(minimum=1)
    line.run()
    assert [stage["name"] for stage in line.summary()["stages"]] == NAMES[1:]
    (footage / "manifest.jsonl").write_text("")
    line.run()
    assert line.made()[0] == "ingest", "the contents of the folder are part of the key"
