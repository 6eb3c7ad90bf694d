"""The register stage on the folders of a small line: what is kept, what is promoted, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from hazardline.errors import UserError
from hazardline.files import sha256_file
from hazardline.gate.document import CHAMPION_NAME, ChampionNote, Decision
from hazardline.progress import SilentReporter
from hazardline.register.approval import approve
from hazardline.register.champion import fetch_champion
from hazardline.register.config import RegisterConfig
from hazardline.register.ledger import LostRaceError
from hazardline.register.promote import history, promote, rollback
from hazardline.register.stage import REGISTRATION_NAME, Registration, run
from hazardline.tracking import connect
from tests.register.line_outputs import Line


@pytest.fixture
def line(home: Path, tmp_path: Path) -> Line:
    return Line(tmp_path / "line")


def register(config: RegisterConfig, inputs: dict[str, Path], tmp_path: Path) -> Registration:
    out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
    out.mkdir()
    summary: dict[str, Any] = run(config, inputs, out, SilentReporter())
    registration = Registration.read(out / REGISTRATION_NAME)
    assert registration.data() == summary == json.loads(json.dumps(summary))
    return registration


def champion_of(tmp_path: Path) -> Path:
    folder = tmp_path / f"champion{len(list(tmp_path.glob('champion*')))}"
    folder.mkdir()
    fetch_champion("m", folder)
    return folder


def test_a_first_candidate_becomes_champion_with_everything_that_belongs_to_it(line: Line, tmp_path: Path) -> None:
    inputs = line.candidate("one")
    found = register(line.config(), inputs, tmp_path)
    assert (found.version, found.promoted, found.outcome) == (1, True, "promoted")
    assert found.aliases == ("candidate", "champion") and "no champion" in found.reason
    version = connect().get_model_version("m", "1")
    decision = Decision.read(inputs["gate"] / "decision.json")
    assert version.tags["hazardline.gate"] == "open"
    assert version.tags["hazardline.decision_digest"] == decision.digest()
    assert version.tags["hazardline.prompt_version"] == "crashchat-short@1"
    assert {"hazardline.data_digest", "hazardline.base_digest", "hazardline.recipe_digest"} < set(version.tags)
    assert {"hazardline.adapter.linguistic", "hazardline.adapter.perception"} < set(version.tags)
    package = Path(connect().download_artifacts(found.run_id, version.source.split("/", 2)[2], str(tmp_path)))
    manifest = json.loads((package / "manifest.json").read_text())
    kept = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert kept == {*manifest["files"], "manifest.json", f"decisions/{decision.digest()}.json"}
    assert {name: sha256_file(package / name) for name in manifest["files"]} == manifest["files"]
    assert kept >= {"adapters/perception/adapter_model.safetensors", "processor/layout.json", "recipe.yaml"}
    assert kept >= {"evaluation/report.html", "evaluation/clip_scores.parquet", "training.json"}
    assert "processor/model.safetensors" not in kept
    assert connect().get_run(found.run_id).data.metrics["candidate.crash_miou"] == 0.45


def test_a_model_of_one_branch_is_registered_whole(home: Path, tmp_path: Path) -> None:
    line = Line(tmp_path / "images", branches=("linguistic",))
    found = register(line.config(), line.candidate("one"), tmp_path)
    tags = connect().get_model_version("m", str(found.version)).tags
    assert [name for name in tags if name.startswith("hazardline.adapter.")] == ["hazardline.adapter.linguistic"]
    artifacts = connect().list_artifacts(found.run_id)
    assert found.promoted and [item.path for item in artifacts] == ["model"]


def test_a_closed_gate_ends_cleanly_with_a_candidate_that_is_not_promoted(line: Line, tmp_path: Path) -> None:
    found = register(line.config(), line.candidate("weak", score=0.5), tmp_path)
    assert (found.version, found.promoted, found.outcome) == (1, False, "gate_closed")
    assert found.aliases == ("candidate",) and history("m") == []
    with pytest.raises(UserError, match="gate is not open"):
        promote("m", 1, why="please")


def test_a_second_candidate_replaces_the_champion_that_its_gate_saw(line: Line, tmp_path: Path) -> None:
    register(line.config(), line.candidate("one"), tmp_path)
    found = register(line.config(), line.candidate("two", champion_of(tmp_path)), tmp_path)
    assert (found.version, found.outcome, found.aliases) == (2, "promoted", ("candidate", "champion"))
    assert [entry.from_version for entry in history("m")] == [None, 1]


def test_a_candidate_judged_without_the_champion_has_lost_the_race(line: Line, tmp_path: Path) -> None:
    blind = line.candidate("blind")
    register(line.config(), line.candidate("one"), tmp_path)
    found = register(line.config(), blind, tmp_path)
    assert (found.version, found.promoted, found.outcome) == (2, False, "lost_race")
    assert "run the gate again" in found.reason and len(history("m")) == 1


def test_a_worse_candidate_stays_a_candidate(line: Line, tmp_path: Path) -> None:
    register(line.config(), line.candidate("one", num_wrong=2), tmp_path)
    found = register(line.config(), line.candidate("worse", champion_of(tmp_path), num_wrong=20), tmp_path)
    assert found.outcome == "gate_closed" and found.aliases == ("candidate",)


def test_the_same_candidate_again_is_the_same_version(line: Line, tmp_path: Path) -> None:
    inputs = line.candidate("one")
    first = register(line.config(), inputs, tmp_path)
    again = register(line.config(), inputs, tmp_path)
    assert (again.version, again.is_new, again.outcome) == (1, False, "already_champion")
    assert again.promoted and again.run_id == first.run_id and len(history("m")) == 1


def test_manual_approval_waits_for_a_person(line: Line, tmp_path: Path) -> None:
    found = register(line.config(approval="manual"), line.candidate("one"), tmp_path)
    assert (found.outcome, found.promoted) == ("waits_for_approval", False)
    assert found.aliases == ("candidate", "waiting")
    with pytest.raises(UserError, match="waits for approval; look at it"):
        promote("m", found.version, why="please")
    assert approve("m", None, why="looked at the report", by="ann").champion == 1
    (entry,) = history("m")
    assert (entry.approved_by, entry.why) == ("ann", "looked at the report") and "@" in entry.who
    assert entry.decision_digest is not None
    with pytest.raises(UserError, match="no version waits for approval"):
        approve("m", None, why="again", by="bob")
    assert register(line.config(approval="manual"), line.candidate("again"), tmp_path).version == 2
    assert connect().get_model_version("m", "1").tags["hazardline.approval"] == "approved by ann"


def test_what_waits_is_promoted_by_a_person_alone(line: Line, tmp_path: Path) -> None:
    inputs = line.candidate("one")
    register(line.config(approval="manual"), inputs, tmp_path)
    again = register(line.config(), inputs, tmp_path)
    assert (again.version, again.outcome) == (1, "waits_for_approval"), "the recipe has become automatic since"
    with pytest.raises(UserError, match="does not wait"):
        approve("m", register(line.config(), line.candidate("two"), tmp_path).version, why="x", by="ann")


def test_an_approval_that_came_too_late_changes_nothing(line: Line, tmp_path: Path) -> None:
    register(line.config(approval="manual"), line.candidate("one"), tmp_path)
    register(line.config(), line.candidate("two"), tmp_path)
    with pytest.raises(LostRaceError, match="run the gate again"):
        approve("m", 1, why="late", by="ann")
    assert [entry.to_version for entry in history("m")] == [2]
    assert connect().get_model_version("m", "1").tags["hazardline.approval"] == "waiting"


def test_an_approval_that_was_killed_is_completed(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = line.candidate("one")
    register(line.config(approval="manual"), inputs, tmp_path)

    def die(client: MlflowClient, name: str, version: str, key: str, value: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(MlflowClient, "set_model_version_tag", die)
        approve("m", None, why="good", by="ann")
    assert register(line.config(approval="manual"), inputs, tmp_path).outcome == "already_champion"
    assert approve("m", None, why="good", by="ann").entry is None
    assert len(history("m")) == 1 and "waiting" not in connect().get_registered_model("m").aliases


def test_a_version_names_the_data_set_that_it_was_trained_on(line: Line, tmp_path: Path) -> None:
    report = {name: 0 for name in ("num_clips", "num_quarantined")} | {"total_s": 0.0, "dataset_digest": "d" * 64}
    counts: dict[str, Any] = {
        name: {} for name in ("by_label", "by_source", "labels_by_source", "by_scenario", "by_reason")
    }
    decoder = {"decoder": {"backend": "pyav", "reason": "x"}, "sources": []}
    (line.root / "ingest.json").write_text(json.dumps({**report, **counts, **decoder}))
    found = register(line.config(), line.candidate("one"), tmp_path)
    assert connect().get_model_version("m", str(found.version)).tags["hazardline.dataset_digest"] == "d" * 64


def test_a_line_that_runs_again_does_not_undo_a_rollback(line: Line, tmp_path: Path) -> None:
    register(line.config(), line.candidate("one"), tmp_path)
    two = line.candidate("two", champion_of(tmp_path))
    register(line.config(), two, tmp_path)
    rollback("m", why="misses cyclists", who="ann")
    found = register(line.config(), two, tmp_path)
    assert (found.version, found.promoted, found.outcome) == (2, False, "was_rolled_back")
    assert promote("m", 2, why="mended the camera", who="ann").champion == 2
    assert register(line.config(), two, tmp_path).outcome == "already_champion"


def test_a_recipe_may_only_register(line: Line, tmp_path: Path) -> None:
    found = register(line.config(promote=False), line.candidate("one"), tmp_path)
    assert (found.outcome, found.promoted) == ("promotion_not_asked", False)


def test_fetching_a_champion_where_there_is_none(home: Path, tmp_path: Path) -> None:
    assert fetch_champion("nobody", tmp_path) is None
    assert ChampionNote.read(tmp_path / CHAMPION_NAME).model_version is None
    assert not (tmp_path / "evaluation.json").exists()


def test_a_champion_altered_in_the_store_is_refused(line: Line, home: Path, tmp_path: Path) -> None:
    register(line.config(), line.candidate("one"), tmp_path)
    (stored,) = (home / "mlflow" / "artifacts").rglob("evaluation.json")
    stored.write_text(stored.read_text().replace("0.78", "0.18"))
    with pytest.raises(UserError, match="not the file that was registered"):
        champion_of(tmp_path)


def test_outputs_that_do_not_belong_together_are_refused(line: Line, tmp_path: Path) -> None:
    one, two = line.candidate("one"), line.candidate("two")
    with pytest.raises(UserError, match="not the adapter that was evaluated"):
        register(line.config(), {**one, "train": two["train"]}, tmp_path)
    with pytest.raises(UserError, match="decides about another evaluation"):
        register(line.config(), {**one, "gate": two["gate"]}, tmp_path)
    (line.base / "tokenizer.json").write_text("another")
    with pytest.raises(UserError, match="not the base that was evaluated"):
        register(line.config(), one, tmp_path)
    assert connect().search_registered_models() == []


def test_a_missing_part_is_named_and_nothing_is_registered(line: Line, tmp_path: Path) -> None:
    inputs = line.candidate("one")
    (inputs["evaluate"] / "report.html").unlink()
    with pytest.raises(UserError, match=r"report\.html: missing"):
        register(line.config(), inputs, tmp_path)
    assert connect().search_registered_models() == []


@pytest.mark.parametrize("changes", [{"model_name": "a/b"}, {"approval": "never"}, {"promote": "yes"}, {"alias": "x"}])
def test_a_wrong_section_is_told(line: Line, changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        line.config(**changes)
