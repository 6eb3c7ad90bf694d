"""Scheduled runs one after another in the real pipeline, with a real registry and a webhook that checks signatures.

The tests share one team's machine and run in order. They take a while: every run is up to fourteen processes.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hazardline.gate.document import Decision
from hazardline.register.promote import CHAMPION, alias_version, history
from hazardline.run_summary import RunSummary
from hazardline.tracking import connect
from tests.retrain.units import exec_start
from tests.retrain.webhook import Receiver, receiver
from tests.retrain.world import MODEL, SECRET, World

BEFORE_THE_DECISION = ["ingest", "newdata"]
AFTER = ["conclude", "notify"]


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver(SECRET) as found:
        yield found


@pytest.fixture(scope="module")
def world(hook: Receiver, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A team whose first scheduled run has found footage and no champion."""
    world = World(tmp_path_factory.mktemp("team"), hook.url)
    world.film(num_clips=60, num_wrong=12)
    done = world.run()
    assert done.returncode == 0, done.stdout + done.stderr
    world.said = done.stdout + done.stderr
    return world


@pytest.fixture(autouse=True)
def registry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The team's registry, for this process."""
    monkeypatch.setenv("HAZARDLINE_HOME", str(world.home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def champion() -> int | None:
    return alias_version(connect(), MODEL, CHAMPION)


def test_the_first_training_is_promoted_and_told(world: World, hook: Receiver) -> None:
    assert champion() == 1
    (notice,) = hook.notices
    assert (notice["outcome"], notice["recipe"], notice["failed_tasks"]) == ("promoted", "tiny", [])
    assert notice["run_id"] == world.newest().name
    assert notice["conclusion"]["candidate"] == 1 and notice["conclusion"]["champion_before"] is None
    assert "Retraining: promoted" in world.said
    RunSummary.read(world.newest() / "summary.json")
    assert (world.newest() / "conclusion.md").read_text().startswith("# promoted\n")


def test_nothing_new_trains_nothing_and_says_so(world: World, hook: Receiver) -> None:
    done = world.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.tasks() == [*BEFORE_THE_DECISION, *AFTER]
    assert hook.notices[-1]["outcome"] == "nothing_new" == world.conclusion().outcome
    assert hook.notices[-1]["conclusion"]["trigger"] == ["nothing is new, changed or relabelled"]
    assert "nothing is new, changed or relabelled" in done.stdout
    assert "Retraining: nothing new; nothing was trained" in done.stdout
    assert len(history(MODEL)) == 1 == len(connect().search_model_versions(f"name = '{MODEL}'"))


def test_a_worse_model_is_held_against_the_champion_on_todays_test_set(world: World, hook: Receiver) -> None:
    world.film(num_clips=90, num_wrong=40)
    done = world.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert hook.notices[-1]["outcome"] == "gate_closed" and hook.notices[-1]["conclusion"]["champion_before"] == 1
    assert champion() == 1
    decisions = map(Decision.read, (world.home / "mlflow" / "artifacts").rglob("decisions/*.json"))
    (decision,) = [found for found in decisions if found.champion_version == 1]
    assert decision.champion is not None
    assert decision.champion.test_data_digest == decision.candidate.test_data_digest, "today's"
    assert decision.champion.adapters_digest != decision.candidate.adapters_digest
    assert "differs from version 1 by" in decision.reasons[0].sentence


def test_a_training_that_was_refused_is_not_repeated(world: World, hook: Receiver) -> None:
    assert world.run().returncode == 0
    assert world.tasks() == [*BEFORE_THE_DECISION, *AFTER]
    (sentence,) = hook.notices[-1]["conclusion"]["trigger"]
    assert sentence.endswith("version 2; its gate stayed closed against champion version 1")


def test_a_stage_that_fails_is_told(world: World, hook: Receiver) -> None:
    world.film(num_clips=130, num_wrong=2)
    done = world.run(TINY_FAILS="train")
    assert done.returncode == 1
    assert hook.notices[-1]["outcome"] == "failure" and hook.notices[-1]["failed_tasks"] == ["train"]
    assert hook.notices[-1]["conclusion"] is None
    assert "train failed: RuntimeError: train fails, as it was told" in done.stderr
    assert "train fails" not in json.dumps(hook.notices), "free text of errors is not sent"


def test_a_run_that_is_told_to_end_is_told_of(world: World, hook: Receiver) -> None:
    world.film(num_clips=130, num_wrong=2)
    before = world.newest()
    process = world.start(TINY_SLEEPS="train")
    give_up_at = time.monotonic() + 240
    while world.newest() == before or "train" not in world.tasks():
        assert process.poll() is None and time.monotonic() < give_up_at
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    notice = hook.notices[-1]
    assert (notice["outcome"], notice["run_id"]) == ("failure", world.newest().name)
    assert notice["failed_tasks"] == ["train"]


def test_killed_before_the_promotion_the_old_champion_stays_and_the_next_run_goes_on(
    world: World, hook: Receiver
) -> None:
    done = world.run(TINY_KILLED_BEFORE="promotion")
    assert done.returncode == 1
    assert "register failed: the process was ended from outside" in done.stderr
    assert hook.notices[-1]["outcome"] == "failure" and hook.notices[-1]["failed_tasks"] == ["register"]
    assert champion() == 1 and len(history(MODEL)) == 1
    done = world.run()
    assert done.returncode == 0, done.stdout + done.stderr
    made = {stage.name for stage in RunSummary.read(world.newest() / "summary.json").stages if not stage.cached}
    assert made.isdisjoint({"ingest", "split", "synthesize", "train", "evaluate"}), "the outputs were there"
    assert champion() == 3 and hook.notices[-1]["outcome"] == "promoted"


def test_what_waits_for_approval_is_promoted_and_released_by_a_person(world: World, hook: Receiver) -> None:
    world.data["retrain"]["approval"] = "manual"
    world.film(num_clips=170, num_wrong=1)
    done = world.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert hook.notices[-1]["outcome"] == "waits_for_approval" and champion() == 3
    assert world.run().returncode == 0
    assert "it waits for approval" in hook.notices[-1]["conclusion"]["trigger"][0], "and is not trained again"
    world.film(num_clips=300, num_wrong=20)  # days go by

    approval = ["register", "promote", "--approve", "--model", MODEL, "--by", "ann", "--why", "read the report"]
    assert world.call("hazardline", *approval).returncode == 0
    assert champion() == 4 and history(MODEL)[-1].approved_by == "ann"
    released = world.call("pipelines", "release", str(world.recipe))
    assert released.returncode == 0, released.stdout + released.stderr
    assert world.tasks() == ["recall", "export", "release", "device"]
    assert "export      reused" in released.stdout, "nothing is made from footage that came since"
    assert "Release: released\nDevice: it runs that already\n" in released.stdout


def test_the_log_explains_every_change_of_champion(world: World) -> None:
    first, second, third = history(MODEL)
    assert (third.from_version, third.to_version, third.previous_digest) == (3, 4, second.digest())
    assert (first.from_version, first.to_version, second.from_version, second.to_version) == (None, 1, 1, 3)
    assert second.previous_digest == first.digest()
    versions = {int(found.version): found.tags for found in connect().search_model_versions(f"name = '{MODEL}'")}
    assert [entry.why for entry in (first, second, third)] == ["passed small@1"] * 2 + ["read the report"]
    for entry in (first, second, third):
        assert entry.decision_digest == versions[entry.to_version]["hazardline.decision_digest"]


def test_the_units_command_is_such_a_run(world: World, hook: Receiver, tmp_path: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("flock is missing (Debian: util-linux)")
    world.film(num_clips=170, num_wrong=1)
    world.command()
    command = exec_start(sys.executable, world.recipe, tmp_path / "retrain.lock")
    done = subprocess.run(
        command, cwd=world.folder, env=world.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert hook.notices[-1]["outcome"] == "nothing_new" and hook.notices[-1]["run_id"] == world.newest().name


def test_a_webhook_that_refuses_fails_the_run_and_not_the_promotion(world: World, hook: Receiver) -> None:
    hook.answers = [404]
    done = world.run()
    assert done.returncode == 2 and "notify failed: the webhook" in done.stderr
    assert "Retraining: nothing new" in done.stdout and champion() == 4


def test_the_secret_is_nowhere(world: World, hook: Receiver) -> None:
    holders = [path for path in world.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holders == [] and SECRET not in world.said
    assert SECRET not in json.dumps(hook.notices) + str(hook.requests)
    assert len(set(hook.ids)) == len(hook.ids) == len(hook.notices)
