"""Promotion and rollback in a real registry: in order, at once, and interrupted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.files import canonical_json, sha256_bytes
from hazardline.register.ledger import Ledger, LostRaceError
from hazardline.register.promote import (
    CHAMPION,
    DECISION_TAG,
    GATE_TAG,
    PREVIOUS,
    SEEN_TAG,
    alias_version,
    history,
    promote,
    rollback,
)
from hazardline.tracking import connect, open_run


def add_version(model: str, seen: str, gate: str = "open") -> int:
    """A version as the register stage makes it, without a package."""
    client = connect()
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    with open_run("register", "1") as run:
        tags = {GATE_TAG: gate, SEEN_TAG: seen, DECISION_TAG: "d" * 64}
        return int(client.create_model_version(model, f"runs:/{run.run_id}/model/1", run.run_id, tags=tags).version)


def aliases(model: str = "m") -> tuple[int | None, int | None]:
    client = connect()
    return alias_version(client, model, CHAMPION), alias_version(client, model, PREVIOUS)


def promoted(*seen: str) -> None:
    for number, text in enumerate(seen, start=1):
        promote("m", add_version("m", text), why=f"number {number}", who="ann")


def test_promotions_move_the_aliases_and_write_the_log(home: Path) -> None:
    promoted("none", "1", "2")
    assert aliases() == (3, 2)
    entries = history("m")
    assert [(entry.from_version, entry.to_version) for entry in entries] == [(None, 1), (1, 2), (2, 3)]
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert (entries[1].who, entries[1].why, entries[1].decision_digest) == ("ann", "number 2", "d" * 64)
    assert entries[1].when.endswith("+00:00")


def test_the_log_on_disk_is_a_hash_chain(home: Path) -> None:
    promoted("none", "1")
    (path,) = (home / "mlflow" / "promotions").glob("*/m.jsonl")
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [row["previous_digest"] for row in rows] == ["", sha256_bytes(canonical_json(rows[0]))]


def test_who_is_found_out_where_nobody_says(home: Path) -> None:
    change = promote("m", add_version("m", "none"), why="test")
    assert change.entry is not None and "@" in change.entry.who


def test_promoting_the_champion_again_does_nothing(home: Path) -> None:
    promoted("none")
    assert promote("m", 1, why="again").entry is None
    assert len(history("m")) == 1


def test_a_closed_gate_is_not_passed_by_hand(home: Path) -> None:
    with pytest.raises(UserError, match="gate is not open"):
        promote("m", add_version("m", "none", gate="closed"), why="please")
    assert aliases() == (None, None) and history("m") == []


def test_a_version_that_does_not_exist_is_told(home: Path) -> None:
    add_version("m", "none")
    with pytest.raises(UserError, match="not found"):
        promote("m", 7, why="test")
    with pytest.raises(UserError, match="expected letters"):
        promote("m' or '", 7, why="test")


def test_a_promotion_against_another_champion_has_lost(home: Path) -> None:
    promoted("none")
    late = add_version("m", "none")
    with pytest.raises(LostRaceError, match="run the gate again"):
        promote("m", late, why="test")
    assert aliases() == (1, None) and len(history("m")) == 1


def test_rollback_leads_back_step_by_step(home: Path) -> None:
    promoted("none", "1", "2")
    change = rollback("m", why="night is worse", who="bob")
    assert (change.champion, change.previous) == (2, 1) == aliases()
    assert rollback("m", why="day as well", who="bob").champion == 1
    assert aliases() == (1, None)
    with pytest.raises(UserError, match="nothing to roll back to"):
        rollback("m", why="again")
    assert [entry.action for entry in history("m")] == ["promote"] * 3 + ["rollback"] * 2


def test_rollback_without_a_model(home: Path) -> None:
    with pytest.raises(UserError, match="nothing to roll back to"):
        rollback("nobody", why="test")
    assert history("nobody") == []


class Died(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("step", [0, 1])
def test_dying_between_the_steps_leaves_the_old_champion(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    promoted("none", "1")
    dying, other = add_version("m", "2"), add_version("m", "2")
    die_at_alias(monkeypatch, step)
    with pytest.raises(Died):
        promote("m", dying, why="test")
    monkeypatch.undo()
    monkeypatch.setenv("HAZARDLINE_HOME", str(home))
    assert aliases()[0] == 2
    change = promote("m", other, why="goes on", settle_s=0.2)
    assert (change.champion, change.previous) == (other, 2) == aliases()
    assert [entry.to_version for entry in history("m")] == [1, 2, dying, other]
    assert history("m")[-1].from_version == 2


def test_a_promotion_that_died_is_completed_when_it_is_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promoted("none")
    dying = add_version("m", "1")
    die_at_alias(monkeypatch, 0)
    with pytest.raises(Died):
        promote("m", dying, why="test")
    monkeypatch.undo()
    monkeypatch.setenv("HAZARDLINE_HOME", str(home))
    assert promote("m", dying, why="test").champion == dying
    assert aliases() == (dying, 1) and len(history("m")) == 2


def die_at_alias(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the next promotion when it moves its alias number `step`."""
    from mlflow import MlflowClient

    moved = []
    move = MlflowClient.set_registered_model_alias

    def die(client: MlflowClient, name: str, alias: str, version: str) -> None:
        if len(moved) == step:
            raise Died
        moved.append(alias)
        move(client, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", die)


def test_a_hand_on_the_alias_shows_in_the_log(home: Path) -> None:
    promoted("none", "1")
    by_hand = add_version("m", "none", gate="closed")
    connect().set_registered_model_alias("m", CHAMPION, str(by_hand))
    promote("m", add_version("m", str(by_hand)), why="test")
    assert history("m")[-1].from_version == by_hand
    assert aliases() == (4, by_hand)


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_altered_log_stops_every_promotion(home: Path, version: str) -> None:
    promoted("none", "1")
    client = connect()
    entry = json.loads(client.get_model_version("m.promotions", version).tags["hazardline.promotion"])
    altered = canonical_json(entry | {"who": "mallory"}).decode()
    client.set_model_version_tag("m.promotions", version, "hazardline.promotion", altered)
    target = add_version("m", "2")
    with pytest.raises(UserError, match=r"altered|differs from this machine's copy"):
        promote("m", target, why="test")
    assert aliases() == (2, 1)


def test_a_log_cut_short_is_noticed(home: Path) -> None:
    promoted("none", "1")
    connect().delete_model_version("m.promotions", "2")
    with pytest.raises(UserError, match=r"differs from this machine's copy .* at entry 2"):
        history("m")


def test_a_machine_that_was_away_catches_up(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow/mlflow.db")
    promoted("none")
    here = Ledger(connect(), "m").copy
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "elsewhere"))
    promote("m", add_version("m", "1"), why="from elsewhere")
    there = Ledger(connect(), "m").copy
    assert len(here.read_bytes().splitlines()) == 1
    monkeypatch.setenv("HAZARDLINE_HOME", str(home))
    history("m")
    assert here != there and here.read_bytes() == there.read_bytes()


RACE = """
import json, os, sys, time
from pathlib import Path
from hazardline.register.ledger import LostRaceError
from hazardline.register.promote import promote
from hazardline.tracking import connect

meet, me, version = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
connect()
outcomes = {}
for number, model in enumerate(sys.argv[4:]):
    # half of the races share this machine's lock, half have only the registry in common
    os.environ["HAZARDLINE_HOME"] = str(meet / ("home" if number % 2 else f"home-{me}"))
    (meet / f"{number}-{me}").touch()
    while len(list(meet.glob(f"{number}-*"))) < 2:
        time.sleep(0.001)
    try:
        outcomes[model] = promote(model, version, why="race", who=me).champion
    except LostRaceError as error:
        outcomes[model] = str(error)
print(json.dumps(outcomes))
"""


def test_of_two_promoters_at_once_one_wins_and_the_other_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [f"race{number}" for number in range(6)]
    for model in models:
        assert [add_version(model, "none"), add_version(model, "none")] == [1, 2]
    uri = f"sqlite:///{home}/mlflow/mlflow.db"
    commands = [[sys.executable, "-c", RACE, str(tmp_path), f"p{n}", str(n), *models] for n in (1, 2)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    first, second = (json.loads(output) for output, _ in said)
    for model in models:
        winner, loser = (first, second) if first[model] == 1 else (second, first)
        champion = winner[model]
        assert champion in (1, 2) and isinstance(loser[model], str), (first[model], second[model])
        assert aliases(model) == (champion, None)
        assert [entry.to_version for entry in history(model)] == [champion]
