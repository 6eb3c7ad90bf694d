"""What a pipeline's user interface shows of a decision."""

from pathlib import Path

from hazardline.gate.config import GateConfig
from hazardline.gate.document import DECISION_NAME, Decision
from hazardline.gate.shown import show, summary_text
from hazardline.gate.stage import run
from hazardline.progress import SilentReporter
from tests.gate.conftest import Folder

POLICY = """version: gate_policy@1
name: two-rules@1
rules:
  - {kind: test_clips, minimum: 1}
  - {kind: minimum, metric: crash_miou, minimum: 0.9}
"""


def test_a_decision_shows_its_reasons_the_failed_ones_first(evaluate_folder: Folder, tmp_path: Path) -> None:
    policy, out = tmp_path / "policy.yaml", tmp_path / "out"
    policy.write_text(POLICY)
    out.mkdir()
    run(GateConfig(policy=str(policy)), {"evaluate": evaluate_folder("evaluate")}, out, SilentReporter())
    assert show(out, tmp_path / "summary") == {"passed": 0.0, "rules": 2, "rules_failed": 1}
    text = (tmp_path / "summary").read_text()
    assert text.startswith("# The gate is closed\n\nPolicy `two-rules@1`; there was no champion.\n")
    failed, passed = [line for line in text.splitlines() if line.startswith(("| failed", "| passed"))]
    assert failed.startswith("| failed | minimum | ") and "0.45" in failed
    assert passed.startswith("| passed | test\\_clips | ")


def test_an_open_gate_names_the_champion_it_was_held_against(evaluate_folder: Folder, tmp_path: Path) -> None:
    policy, out = tmp_path / "policy.yaml", tmp_path / "out"
    policy.write_text(POLICY.replace("0.9", "0.1"))
    out.mkdir()
    inputs = {"evaluate": evaluate_folder("evaluate"), "champion": evaluate_folder("champion", model_version=7)}
    run(GateConfig(policy=str(policy)), inputs, out, SilentReporter())
    assert show(out, tmp_path / "summary") == {"passed": 1.0, "rules": 2, "rules_failed": 0}
    text = summary_text(Decision.read(out / DECISION_NAME))
    assert "# The gate is open" in text and "the champion was version 7" in text
