"""The output folders of a small line up to the gate: real tables and documents around made-up weights."""

import json
from pathlib import Path

from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.files import sha256_tree
from hazardline.gate.config import GateConfig
from hazardline.gate.stage import run as run_gate
from hazardline.progress import SilentReporter
from hazardline.register.config import RegisterConfig
from hazardline.tables import ASSIGNMENT, CLIP_SCORES, QA, SCENES, write_table
from hazardline.tasks import TRAINED_ON, Branch
from hazardline.train.base import base_digest
from tests.gate.evaluations import clip_scores, evaluation, identity

POLICY = """
version: gate_policy@1
name: small@1
num_resamples: 100
rules:
  - {kind: minimum, metric: recognition_macro_f1, minimum: 0.7}
  - {kind: no_regression, metric: recognition_macro_f1, tolerance: 0.05}
"""


class Line:
    """Makes candidates one after another, each with its own weights, in one folder."""

    def __init__(self, root: Path, branches: tuple[Branch, ...] = tuple(TRAINED_ON)) -> None:
        self.root = root
        self.branches = branches
        self.base = root / "base"
        self.base.mkdir(parents=True)
        for name in ("config.json", "layout.json", "tokenizer.json", "README.md", "model.safetensors"):
            (self.base / name).write_text(f"{name} of the base")
        (self.base / "config.json").write_text("{}")
        (root / "policy.yaml").write_text(POLICY)
        for table in (SCENES, ASSIGNMENT, QA):
            write_table(table, root, [])

    def config(self, **changes: object) -> RegisterConfig:
        fields = {"model_name": "m", "base": str(self.base), "recipe": "name: small\n", **changes}
        return RegisterConfig.parse(fields, "test")

    def candidate(
        self, name: str, champion: Path | None = None, score: float = 0.78, num_wrong: int = 3
    ) -> dict[str, Path]:
        """The inputs of the register stage for a candidate whose weights are named after it."""
        folder = self.root / name
        for branch in self.branches:
            (folder / "train" / branch).mkdir(parents=True)
            (folder / "train" / branch / "adapter_config.json").write_text("{}")
            (folder / "train" / branch / "adapter_model.safetensors").write_text(f"{branch} weights of {name}")
        (folder / "train" / "training.json").write_text(json.dumps({"loss": 1.0}))
        self._evaluate(folder, score, num_wrong)
        inputs = {"evaluate": folder / "evaluate"} | ({"champion": champion} if champion else {})
        (folder / "gate").mkdir()
        run_gate(GateConfig(policy=str(self.root / "policy.yaml")), inputs, folder / "gate", SilentReporter())
        shared = {stage: self.root for stage in ("ingest", "split", "synthesize")}
        return shared | {stage: folder / stage for stage in ("train", "evaluate", "gate")}

    def _evaluate(self, folder: Path, score: float, num_wrong: int) -> None:
        adapters = {branch: sha256_tree(folder / "train" / branch) for branch in self.branches}
        found = identity().model_copy(update={"adapters_digest": adapters, "base_digest": base_digest(self.base)})
        document: Evaluation = evaluation(identity=found)
        metrics = {model: dict(values) for model, values in document.metrics.items()}
        estimate = metrics["candidate"]["recognition_macro_f1"]
        metrics["candidate"]["recognition_macro_f1"] = estimate.model_copy(update={"value": score})
        (folder / "evaluate").mkdir()
        document.model_copy(update={"metrics": metrics}).write(folder / "evaluate" / EVALUATION_NAME)
        write_table(CLIP_SCORES, folder / "evaluate", clip_scores(num_wrong))
        (folder / "evaluate" / "report.html").write_text("<html></html>")
