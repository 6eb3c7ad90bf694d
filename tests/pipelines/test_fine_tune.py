"""The real pipeline end to end, at its smallest, with KFP's local runner: gate open and closed, reuse, failure.

The tests share one store and run in order: the first pays for the others.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from hazardline.hazardnet import parse_classification
from hazardline.run_summary import RunSummary
from hazardline.stages import STAGES

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "recipes" / "crashchat_pocket_smoke.yaml"
IMAGES = ROOT / "recipes" / "hazardnet_pocket_smoke.yaml"
BEHIND_THE_GATE = ("export", "release", "device")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all runs of this file."""
    return tmp_path_factory.mktemp("line") / "home"


def run(home: Path, recipe: Path) -> subprocess.CompletedProcess[str]:
    """`python -m pipelines run`, as `make run` does it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HAZARDLINE_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "pipelines", "run", str(recipe)],
        cwd=ROOT,
        env={**environment, "HAZARDLINE_HOME": str(home), "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
    )


def latest(home: Path) -> dict[str, Any]:
    path = home / "runs" / "latest" / "summary.json"
    RunSummary.read(path)
    summary: dict[str, Any] = json.loads(path.read_text())
    return summary


def with_changes(recipe: Path, **changes: dict[str, Any]) -> Path:
    data = yaml.safe_load(SMOKE.read_text())
    for section, fields in changes.items():
        data[section] = {**data[section], **fields}
    data["name"] = recipe.stem
    recipe.write_text(yaml.safe_dump(data))
    return recipe


@pytest.fixture(scope="module")
def first(home: Path) -> subprocess.CompletedProcess[str]:
    """The first run, from nothing."""
    return run(home, SMOKE)


def test_the_line_runs_from_clips_to_a_device(first: subprocess.CompletedProcess[str], home: Path) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    summary = latest(home)
    assert [stage["name"] for stage in summary["stages"]] == [stage.name for stage in STAGES]
    assert not any(stage["cached"] for stage in summary["stages"])
    assert all(stage["wall_s"] > 0 and stage["peak_rss_mb"] > 10 for stage in summary["stages"])
    assert summary["data"]["num_clips"] == 44
    assert sum(summary["data"]["clips_by_split"].values()) == 44
    for model in ("base", "constant", "candidate"):
        found = summary["metrics"][model]["recognition_macro_f1"]
        assert found["interval"][0] <= found["value"] <= found["interval"][1]
        assert found["n"] == summary["data"]["clips_by_split"]["test"]
    assert summary["leakage"]["rows"]
    assert summary["gate"]["passed"] and summary["gate"]["reasons"]
    assert summary["registry"] == {
        "name": "crashchat-pocket-smoke",
        "version": 1,
        "aliases": ["candidate", "champion"],
    }
    assert summary["parity"]
    assert summary["bundle"]["size_bytes"] > sum(file["size_bytes"] for file in summary["bundle"]["files"])
    assert summary["release"]["version"] == summary["device"]["version"] == 1
    assert summary["device"]["slot"] == "a"
    assert len(summary["device"]["answers"]) == 2


def test_the_user_is_told_where_to_look(first: subprocess.CompletedProcess[str], home: Path) -> None:
    lines = first.stdout.splitlines()
    (report,) = [line.removeprefix("Report: ") for line in lines if line.startswith("Report: ")]
    assert (ROOT / report).read_bytes().lstrip().lower().startswith(b"<!doctype html")
    assert "MLflow: make ui" in lines
    assert [line for line in lines if line.startswith("Device: slot a, release 1; ")]
    assert "Streamed logs" not in first.stdout, "KFP's own words belong in the log"
    assert "Streamed logs" in (home / "runs" / "latest" / "pipeline.log").read_text()


def test_a_second_run_reuses_what_has_not_changed(first: subprocess.CompletedProcess[str], home: Path) -> None:
    before = latest(home)
    done = run(home, SMOKE)
    assert done.returncode == 0, done.stdout + done.stderr
    after = latest(home)
    made = [stage["name"] for stage in after["stages"] if not stage["cached"]]
    assert made == ["gate", "register", "release", "device"], "there is a champion now, so the gate looks again"
    assert after["registry"] == before["registry"]
    assert after["bundle"] == before["bundle"]
    assert after["release"] == before["release"]
    assert after["device"] == before["device"]
    assert "reused" in done.stdout


def test_a_closed_gate_ends_the_line_cleanly(
    first: subprocess.CompletedProcess[str], home: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "strict.yaml"
    policy.write_text("version: gate_policy@1\nname: strict@1\nrules:\n  - {kind: test_clips, minimum: 100000}\n")
    recipe = with_changes(
        tmp_path / "closed.yaml", gate={"policy": str(policy)}, register={"model_name": "closed-smoke"}
    )
    done = run(home, recipe)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = latest(home)
    assert [stage["name"] for stage in summary["stages"]] == [
        stage.name for stage in STAGES if stage.name not in BEHIND_THE_GATE
    ]
    assert not summary["gate"]["passed"]
    assert "100000" in summary["gate"]["reasons"][0]
    assert summary["registry"] == {"name": "closed-smoke", "version": 1, "aliases": ["candidate"]}
    assert summary["parity"] is summary["bundle"] is summary["release"] is summary["device"] is None
    assert "Device: was not updated: the gate is closed" in done.stdout


def test_the_line_of_images_runs_from_scenes_to_a_device(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run(home, IMAGES)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = latest(home)
    assert [stage["name"] for stage in summary["stages"]] == [stage.name for stage in STAGES]
    assert summary["data"]["num_clips"] == 68
    for model in ("base", "constant", "candidate"):
        for field in ("scene", "agent", "action", "risk"):
            for average in ("macro", "weighted"):
                found = summary["metrics"][model][f"{field}_{average}_f1"]
                assert found["interval"][0] <= found["value"] <= found["interval"][1]
        assert summary["metrics"][model]["parse_failure_rate"]["value"] == 0
    assert summary["gate"]["passed"] and summary["release"]["version"] == summary["device"]["version"] == 1
    assert summary["registry"]["aliases"] == ["candidate", "champion"]
    answers = summary["device"]["answers"]
    assert len(answers) == 2
    assert all(parse_classification(found["scene_classification"]) for found in answers.values())
    (report,) = [line.removeprefix("Report: ") for line in done.stdout.splitlines() if line.startswith("Report: ")]
    assert "SuggestedAction" in (ROOT / report).read_text()


def test_a_failing_stage_ends_the_line_with_its_own_line(tmp_path: Path) -> None:
    home, footage = tmp_path / "home", tmp_path / "footage"
    footage.mkdir()
    data = yaml.safe_load((ROOT / "recipes" / "nexar_pocket.yaml").read_text())
    recipe = tmp_path / "empty_footage.yaml"
    recipe.write_text(
        yaml.safe_dump({**data, "name": recipe.stem, "ingest": {"source": "native", "root": str(footage)}})
    )
    done = run(home, recipe)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ingest failed: ")]
    assert f"{footage}: no manifest.jsonl here" in line
    (log,) = [line.removeprefix("log: ") for line in done.stderr.splitlines() if line.startswith("log: ")]
    assert f"{footage}: no manifest.jsonl here" in (ROOT / log).read_text()
    assert "Traceback" not in done.stderr + done.stdout
    assert not (home / "runs" / "latest").exists()
    assert list((home / "store" / "ingest").iterdir()) == []
    shutil.rmtree(home)


def test_a_run_that_is_asked_to_end_takes_its_stage_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "HAZARDLINE_HOME": str(home)}
    command = [sys.executable, "-m", "pipelines", "run", str(SMOKE)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up_at = time.monotonic() + 120
    while not list((home / "store" / "simulate").glob(".making-*/output/videos")):
        assert process.poll() is None and time.monotonic() < give_up_at
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert [path.name[:8] for path in (home / "store" / "simulate").iterdir()] == [".making-"]
