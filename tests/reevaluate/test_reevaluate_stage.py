"""The champion of a registry through the real evaluation: the same model has the same scores."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from hazardline.champion import CHAMPION_MODEL, ChampionConfig
from hazardline.evaluate.config import AnswerLimits
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.evaluate.stage import run as evaluate
from hazardline.gate.document import CHAMPION_NAME, ChampionNote
from hazardline.progress import SilentReporter
from hazardline.reevaluate.config import ReevaluateConfig
from hazardline.reevaluate.stage import run
from hazardline.register.config import RegisterConfig
from hazardline.register.stage import run as register
from hazardline.stages import stage_named
from hazardline.tables import CLIP_SCORES, read_table
from tests.evaluate.world import write_line
from tests.mlflow_store import make_template, use_store

SPLITS = ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
POLICY = "version: gate_policy@1\nname: any@1\nrules:\n  - {kind: test_clips, minimum: 1}\n"
CONFIG: dict[str, Any] = {
    "num_workers": 1,
    "max_new_tokens": AnswerLimits(crash_description=2, cause_reasoning=2, prevention_reasoning=2),
    "num_resamples": 100,
    "num_filmstrips": 1,
}


def fetched(tmp_path: Path) -> Path:
    out = tmp_path / "champion"
    out.mkdir()
    CHAMPION_MODEL.run_function()(ChampionConfig(model_name="m"), {}, out, SilentReporter())
    return out


def test_the_champion_is_evaluated_as_a_candidate_is_on_its_own_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "template"
    template.mkdir()
    use_store(make_template(template), tmp_path / "home", monkeypatch)
    line = write_line(tmp_path / "line", SPLITS, num_videos=len(SPLITS))
    (tmp_path / "policy.yaml").write_text(POLICY)
    before = tmp_path / "evaluate"
    before.mkdir()
    own = ReevaluateConfig(base=str(line["base"]), ceiling=False, **CONFIG)
    evaluate(own, line, before, SilentReporter())
    gate = tmp_path / "gate"
    gate.mkdir()
    stage_named("gate").run_function()(
        stage_named("gate").config_class().parse({"policy": str(tmp_path / "policy.yaml")}, "test"),
        {"evaluate": before},
        gate,
        SilentReporter(),
    )
    registered = tmp_path / "register"
    registered.mkdir()
    recipe = f"register: {{base: {line['base']}}}\n"
    config = RegisterConfig(model_name="m", base=str(line["base"]), recipe=recipe)
    register(config, {**line, "evaluate": before, "gate": gate}, registered, SilentReporter())
    shutil.rmtree(line["train"])

    out = tmp_path / "out"
    out.mkdir()
    today = {name: line[name] for name in ("ingest", "split", "synthesize")}
    others = ReevaluateConfig(base="pocket", **CONFIG)
    summary = run(others, {**today, "champion": fetched(tmp_path)}, out, SilentReporter())
    assert summary["champion_version"] == 1 == ChampionNote.read(out / CHAMPION_NAME).model_version
    assert Evaluation.read(out / EVALUATION_NAME).identity == Evaluation.read(before / EVALUATION_NAME).identity
    assert read_table(CLIP_SCORES, out) == read_table(CLIP_SCORES, before)


def test_without_a_champion_nothing_is_evaluated(tmp_path: Path) -> None:
    champion, out = tmp_path / "champion", tmp_path / "out"
    champion.mkdir()
    out.mkdir()
    ChampionNote(model_name="m", model_version=None).write(champion / CHAMPION_NAME)
    assert run(ReevaluateConfig(), {"champion": champion}, out, SilentReporter()) == {"champion_version": None}
    assert [path.name for path in out.iterdir()] == [CHAMPION_NAME]


def test_its_key_sees_the_code_of_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_named("reevaluate")
    before = stage.code_digest()
    monkeypatch.setattr("hazardline.stages.code_digest", lambda name: name)
    seen = stage.code_digest()
    monkeypatch.setattr("hazardline.stages.code_digest", lambda name: "x" if name == "evaluate" else name)
    assert len({before, seen, stage.code_digest()}) == 3
