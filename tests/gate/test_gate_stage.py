"""The stage on real folders: a closed gate is an answer, and the champion's clips are compared one by one."""

from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.gate.config import GateConfig
from hazardline.gate.document import CHAMPION_NAME, DECISION_NAME, ChampionNote, Decision
from hazardline.gate.stage import run
from hazardline.progress import SilentReporter
from tests.gate.conftest import Folder
from tests.gate.evaluations import clip_scores, estimate, evaluation, identity

POLICY = """
version: gate_policy@1
name: small@1
num_resamples: 500
rules:
  - {kind: minimum, metric: recognition_macro_f1, minimum: 0.7}
  - {kind: no_regression, metric: recognition_macro_f1, tolerance: 0.05}
"""


@pytest.fixture
def config(tmp_path: Path) -> GateConfig:
    path = tmp_path / "small.yaml"
    path.write_text(POLICY)
    return GateConfig(policy=str(path))


def gate(config: GateConfig, tmp_path: Path, **inputs: Path) -> Decision:
    out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
    out.mkdir()
    summary = run(config, inputs, out, SilentReporter())
    decision = Decision.read(out / DECISION_NAME)
    assert summary["passed"] is decision.passed
    assert [reason["sentence"] for reason in summary["reasons"]] == [r.sentence for r in decision.reasons]
    return decision


def test_an_open_gate(config: GateConfig, tmp_path: Path, evaluate_folder: Folder) -> None:
    decision = gate(config, tmp_path, evaluate=evaluate_folder("evaluate"))
    assert decision.passed and decision.champion_version is None
    assert decision.evaluation_digest == evaluation().digest()


def test_a_closed_gate_is_a_decision_and_raises_nothing(tmp_path: Path, evaluate_folder: Folder) -> None:
    folder = evaluate_folder("evaluate", evaluation(num_test_clips=12, metrics={}, slices=[], leakage=None))
    decision = gate(GateConfig(), tmp_path, evaluate=folder)
    assert not decision.passed
    assert not any(reason.passed for reason in decision.reasons if reason.rule.kind != "no_regression")


def test_a_worse_candidate_does_not_pass_its_champion(
    config: GateConfig, tmp_path: Path, evaluate_folder: Folder
) -> None:
    champion = evaluate_folder("champion", rows=clip_scores(2), model_version=4)
    same = gate(config, tmp_path, evaluate=evaluate_folder("same", rows=clip_scores(2)), champion=champion)
    worse = gate(config, tmp_path, evaluate=evaluate_folder("worse", rows=clip_scores(20)), champion=champion)
    assert same.passed and same.champion_version == 4 and same.champion == identity()
    assert same.reasons[1].numbers["difference_value"] == 0.0
    assert not worse.passed and worse.reasons[1].numbers["difference_value"] == pytest.approx(-0.3, abs=0.01)


def test_the_decision_is_the_same_twice(config: GateConfig, tmp_path: Path, evaluate_folder: Folder) -> None:
    folders = {
        "evaluate": evaluate_folder("evaluate", rows=clip_scores(5)),
        "champion": evaluate_folder("champion", rows=clip_scores(3), model_version=1),
    }
    assert gate(config, tmp_path, **folders) == gate(config, tmp_path, **folders)


def test_a_champion_on_another_test_set_closes_the_gate(
    config: GateConfig, tmp_path: Path, evaluate_folder: Folder
) -> None:
    other = evaluate_folder("champion", evaluation(identity=identity("f" * 64)), model_version=1)
    decision = gate(config, tmp_path, evaluate=evaluate_folder("evaluate"), champion=other)
    assert not decision.passed and "another test set" in decision.reasons[1].sentence


def test_a_champion_scored_on_other_clips_closes_the_gate(
    config: GateConfig, tmp_path: Path, evaluate_folder: Folder
) -> None:
    other = evaluate_folder("champion", rows=clip_scores(2, clips=40), model_version=1)
    decision = gate(config, tmp_path, evaluate=evaluate_folder("evaluate"), champion=other)
    assert not decision.passed and "same clips" in decision.reasons[1].sentence


def test_a_folder_that_says_there_is_no_champion(config: GateConfig, tmp_path: Path, evaluate_folder: Folder) -> None:
    empty = tmp_path / "none"
    empty.mkdir()
    ChampionNote(model_name="m", model_version=None).write(empty / CHAMPION_NAME)
    decision = gate(config, tmp_path, evaluate=evaluate_folder("evaluate"), champion=empty)
    assert decision.passed and decision.champion_version is None


def test_a_champion_folder_without_its_version_is_refused(
    config: GateConfig, tmp_path: Path, evaluate_folder: Folder
) -> None:
    nameless = evaluate_folder("champion")
    with pytest.raises(UserError, match=r"champion\.json: cannot be read"):
        gate(config, tmp_path, evaluate=evaluate_folder("evaluate"), champion=nameless)


def test_an_evaluation_with_a_number_that_is_none_is_refused(
    config: GateConfig, tmp_path: Path, evaluate_folder: Folder
) -> None:
    folder = evaluate_folder("evaluate")
    path = folder / "evaluation.json"
    path.write_text(path.read_text().replace("0.78", "NaN"))
    with pytest.raises(UserError, match=r"evaluation\.json"):
        gate(config, tmp_path, evaluate=folder)


def image_scores(num_wrong: int) -> list[dict[str, Any]]:
    """Whether there is a risk in 60 images, six to a scene; the first `num_wrong` are answered wrongly."""
    return [
        {"model": "candidate", "clip_id": f"{number:03}", "metric": "risk_macro_f1", "target": float(number % 2)}
        | {"value": float(number % 2 if number >= num_wrong else 1 - number % 2)}
        for number in range(60)
    ]


def test_images_of_one_scene_are_compared_together(tmp_path: Path, evaluate_folder: Folder) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(POLICY.replace("recognition_macro_f1", "risk_macro_f1"))
    scenes = {f"{number:03}": f"scene {number // 6}" for number in range(60)}
    numbers = []
    for name, groups in (("alone", {}), ("scenes", scenes)):
        document = evaluation(groups=groups, metrics={"candidate": {"risk_macro_f1": estimate(0.9)}})
        champion = evaluate_folder(f"{name} champion", document, image_scores(0), model_version=1)
        candidate = evaluate_folder(name, document, image_scores(6))
        numbers.append(gate(GateConfig(policy=str(path)), tmp_path, evaluate=candidate, champion=champion).reasons[1])
    alone, together = (reason.numbers for reason in numbers)
    assert alone["difference_value"] == together["difference_value"]
    assert together["difference_low"] < alone["difference_low"] - 0.05, "six wrong images of one scene are one fault"
