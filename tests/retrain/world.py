"""A recipe that is retrained, its footage, and a webhook: small, and real but for what takes time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from hazardline.retrain.conclusion import Conclusion

ROOT = Path(__file__).parents[2]
TINY_STAGES = Path(__file__).parent / "tiny_stages"
MODEL = "tiny"
SECRET = "canary-4711-of-the-webhook"
POLICY = """
version: gate_policy@1
name: small@1
num_resamples: 100
rules:
  - {kind: no_regression, metric: recognition_macro_f1, tolerance: 0.05}
"""


class World:
    """One team: footage, a recipe, and the home of its machine."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.footage = folder / "footage"
        self.footage.mkdir(parents=True)
        self.recipe = folder / "tiny.yaml"
        (folder / "policy.yaml").write_text(POLICY)
        base = folder / "base"
        base.mkdir()
        for name in ("config.json", "layout.json", "tokenizer.json", "model.safetensors"):
            (base / name).write_text("{}")
        data = yaml.safe_load((ROOT / "recipes" / "crashchat_pocket_smoke.yaml").read_text())
        del data["simulate"]
        data |= {
            "name": "tiny",
            "ingest": {"root": str(self.footage), "dataset": "fleet"},
            "gate": {"policy": str(folder / "policy.yaml")},
            "retrain": {
                "dataset": "fleet",
                "trigger": {"min_new_clips": 20, "min_new_crashes": 20, "drift_on": []},
                "approval": "automatic",
                "notify": {"url": url, "num_attempts": 2, "timeout_s": 5},
            },
        }
        data["register"] = {"model_name": MODEL}
        for stage in ("train", "evaluate", "register", "export"):
            data[stage] = {**data[stage], "base": str(base)}
        self.data: dict[str, Any] = data
        self.said = ""
        """What the first run printed."""

    def film(self, num_clips: int, num_wrong: int) -> None:
        """Today's footage, and how many test clips a model trained on it answers wrongly."""
        (self.footage / "clips.json").write_text(json.dumps({"num_clips": num_clips, "num_wrong": num_wrong}))

    def environment(self, **more: str) -> dict[str, str]:
        """Of a process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HAZARDLINE_", "MLFLOW_"))}
        return {
            **kept,
            "HAZARDLINE_HOME": str(self.home),
            "HAZARDLINE_WEBHOOK_SECRET": SECRET,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(TINY_STAGES), str(ROOT / "src"), str(ROOT)]),
            **more,
        }

    def command(self) -> list[str]:
        """`python -m pipelines retrain`, on the recipe as it is now."""
        self.recipe.write_text(yaml.safe_dump(self.data))
        return [sys.executable, "-m", "pipelines", "retrain", str(self.recipe)]

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        """Begin a run."""
        return subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """A run from beginning to end."""
        process = self.start(**environment)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def call(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of this team's."""
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )

    def newest(self) -> Path:
        """Folder of the newest run."""
        return max(path for path in (self.home / "runs").iterdir() if not path.is_symlink())

    def conclusion(self) -> Conclusion:
        """What the newest run came to."""
        return Conclusion.read(self.newest() / "conclusion.json")

    def tasks(self) -> list[str]:
        """Tasks that the newest run has started, in order."""
        path = self.newest() / "events.jsonl"
        events = map(json.loads, path.read_text().splitlines() if path.exists() else [])
        return [event["stage"] for event in events if event.get("state") == "started"]
