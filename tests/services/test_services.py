"""The services as a team has them, for real: what runs leave there, and what happens when something breaks.

The commands are those of `docs/runbook.md`: a test takes them from there by their names.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from mlflow import MlflowClient

from hazardline.errors import UserError
from hazardline.files import sha256_tree
from hazardline.progress import SilentReporter
from hazardline.register.champion import fetch_champion
from hazardline.register.promote import CHAMPION, PREVIOUS, alias_version, history, promote, seen_text, set_alias
from hazardline.register.stage import run as register
from hazardline.release.config import ReleaseConfig
from hazardline.release.destination import open_destination
from hazardline.services.backup import backup, read_backup, restore
from hazardline.services.daemon import ProcessRecord
from hazardline.services.stack import up
from hazardline.tracking import connect
from tests.register.line_outputs import Line
from tests.release.world import World, write_bundle
from tests.runbook import ROOT, block
from tests.services.older_mlflow import SCHEMA, put_older_databases
from tests.services.replicas import add_versions, outcomes, start_racer, two_servers, wait_for, with_champion
from tests.team import CLIENTS_VARIABLES, OWN_KEYS, START_TIMEOUT_S, Team

MODEL = "crashchat-pocket"
NUM_RACERS = 4

NO_CEPH = "moto's server knows no accounts; this needs Ceph (apt-get install ceph-mon ceph-osd radosgw)"


@pytest.fixture(scope="module")
def line(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A line that has registered two candidates with the team's MLflow, both promoted."""
    line = Line(tmp_path_factory.mktemp("line"))
    with pytest.MonkeyPatch.context() as patch:
        team.use(patch)
        for name in ("one", "two"):
            assert candidate(line, name) == "promoted"
    return line


def candidate(line: Line, name: str) -> str:
    """Register a candidate with the MLflow of the environment; what came of it."""
    champion, out = line.root / f"champion-{name}", line.root / f"out-{name}"
    champion.mkdir()
    out.mkdir()
    fetch_champion(MODEL, champion)
    outcome: str = register(line.config(model_name=MODEL), line.candidate(name, champion), out, SilentReporter())[
        "outcome"
    ]
    return outcome


def runbook(name: str, team: Team, own_s3: str | None = None, **replaced: str) -> str:
    """Run a block of the runbook as somebody would who has these services, or an S3 server at an address."""
    script = block(name).replace(".hazardline/services/env", str(team.installation.env_path))
    for text, value in replaced.items():
        script = script.replace(text, value)
    home = team.installation.folder.parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CLIENTS_VARIABLES)}
    environment |= {
        "HAZARDLINE_HOME": str(home),
        "HAZARDLINE_DATASETS": str(home / "datasets"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    environment |= {**OWN_KEYS, "HAZARDLINE_S3_ENDPOINT": own_s3} if own_s3 else {}
    # What make would install is installed: a stamp that looks old must not make it install anew.
    prelude = 'set -eu\nmake() { command make -o .venv/installed.stamp -o .venv/gpu.stamp "$@"; }\n'
    done = subprocess.run(
        ["bash", "-c", prelude + script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_finds_everything_by_the_env_file(team: Team, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    team.use(monkeypatch)
    assert [entry.to_version for entry in history(MODEL)] == [1, 2]
    version = connect().get_model_version_by_alias(MODEL, "champion")
    assert connect().get_run(version.run_id).info.artifact_uri.startswith("mlflow-artifacts:")
    keys = [item["Key"] for item in bucket(team, "mlflow")]
    assert [key for key in keys if key.endswith("adapter_model.safetensors")]
    assert not list(Path(os.environ["HAZARDLINE_HOME"]).rglob("adapter_model.safetensors"))


def bucket(team: Team, purpose: str) -> list[dict[str, object]]:
    client = team.stack.storage.client("mlflow" if purpose == "mlflow" else "line")
    found: list[dict[str, object]] = client.list_objects_v2(Bucket=team.stack.settings.bucket(purpose))["Contents"]
    return found


def test_a_device_gets_releases_from_s3_without_a_key(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.use(monkeypatch)
    world = World.at(tmp_path)
    destination = open_destination(ReleaseConfig().destination_address())
    assert world.release(write_bundle(tmp_path / "bundle"), destination).version == 1
    assert world.update(world.device(), repository=destination.address()).status == "installed"


def test_strangers_and_other_accounts_are_kept_out(team: Team) -> None:
    address = team.stack.settings.mlflow_address()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/2.0/mlflow/experiments/search?max_results=1", timeout=30)
    if team.stack.storage.ceph is None:
        pytest.skip(NO_CEPH)
    line = team.stack.storage.client("line")
    with pytest.raises(ClientError, match="AccessDenied"):
        line.list_objects_v2(Bucket=team.stack.settings.bucket("mlflow"))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{team.stack.settings.s3_address()}/{team.stack.settings.bucket('work')}", timeout=30)


def test_secrets_are_for_their_owner_alone_and_in_no_command_and_no_log(team: Team, line: Line) -> None:
    folder = team.installation.folder
    for path in [*(folder / "secrets").iterdir(), team.installation.env_path]:
        assert path.stat().st_mode & 0o777 == 0o600, path
    secrets = [value for value in team.secrets().values() if value != OWN_KEYS["AWS_SECRET_ACCESS_KEY"]]
    assert len(secrets) >= 5
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any("uvicorn" in command for command in commands)
    logs = [path.read_text(errors="replace") for path in folder.rglob("*.log")]
    assert sum("experiments/search" in log for log in logs)
    assert not [value[:4] for value in secrets if any(value in text for text in [*commands, *logs])]


def test_a_second_start_changes_nothing(team: Team) -> None:
    before = {path: path.read_bytes() for path in (team.installation.folder / "run").glob("*.json")}
    env = team.installation.env_path.read_text()
    said = runbook("start", team)
    assert "mlflow    up" in runbook("status", team)
    assert f"mlflow    {team.stack.settings.mlflow_address()}" in said
    assert {path: path.read_bytes() for path in before} == before
    assert team.installation.env_path.read_text() == env


def test_what_was_killed_is_named_and_mended(team: Team, line: Line) -> None:
    """SIGKILL of MLflow's first process leaves its workers behind, on its port."""
    records = sorted((team.installation.folder / "run").glob("*.json"))
    data = team.installation.folder / "postgres/data/postmaster.pid"
    for pid in [*(ProcessRecord.read(path).pid for path in records), int(data.read_text().split()[0])]:
        os.kill(pid, signal.SIGKILL)
    down = {state.name for state in team.stack.states() if not state.is_up}
    assert down == {"mlflow", "postgres"} | ({"s3"} if team.stack.storage.ceph else set())
    # An upgrade of what is up to date is a start that changes nothing.
    assert "mlflow    up" in runbook("upgrade", team)
    assert "version 1 -> version 2" in runbook("shell", team)


@pytest.fixture(scope="module")
def servers(team: Team) -> Iterator[list[str]]:
    """Addresses of two MLflow servers on one database."""
    with two_servers(team) as addresses:
        yield addresses


def test_of_promoters_through_two_servers_one_wins(
    team: Team, servers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the models have neither champion nor log before the race: the log is made in it."""
    team.use(monkeypatch)
    races: dict[str, tuple[int | None, list[int]]] = {}
    for number in range(10):
        model = f"race-{number}"
        champion = with_champion(model) if number % 2 else None
        races[model] = (champion, add_versions(model, seen_text(champion), NUM_RACERS))
    racers = []
    for number in range(NUM_RACERS):
        versions = {model: candidates[number] for model, (_, candidates) in races.items()}
        server = servers[number % len(servers)]
        racers.append(start_racer(team, server, tmp_path, f"racer-{number}", NUM_RACERS, versions))
    said = outcomes(racers)
    for model, (before, _) in races.items():
        won = [outcome[model] for outcome in said if isinstance(outcome[model], int)]
        lost = [outcome[model] for outcome in said if isinstance(outcome[model], str)]
        assert len(won) == 1 and len(lost) == NUM_RACERS - 1, (model, won, lost)
        assert [alias_version(connect(), model, alias) for alias in (CHAMPION, PREVIOUS)] == [won[0], before]
        log = [(entry.from_version, entry.to_version) for entry in history(model)]
        assert log == ([(None, before)] if before else []) + [(before, won[0])]


def test_an_alias_that_nobody_has_set_yet_is_set_by_all_who_ask_at_once(
    team: Team, servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow looks, then inserts: PostgreSQL refuses the second of two."""
    team.use(monkeypatch)
    clients = [MlflowClient(tracking_uri=server, registry_uri=server) for server in servers * 2]
    with ThreadPoolExecutor(len(clients)) as pool:
        for number in range(15):
            model = f"alias-{number}"
            add_versions(model, "none", 1)
            list(pool.map(lambda each, model=model: set_alias(each, model, CHAMPION, 1), clients))
            assert alias_version(connect(), model, CHAMPION) == 1


def test_a_log_that_another_run_is_just_making_is_waited_for(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes a model in one transaction, and lets its maker write it in the next."""
    team.use(monkeypatch)
    (version,) = add_versions("young", "none", 1)
    connect().create_registered_model("young.promotions")

    def rename(before: str, after: str) -> None:
        sql = f"update role_permissions set resource_pattern = '{after}' where resource_pattern = '{before}'"
        team.stack.postgres.ask(sql, "mlflow_auth")

    rename("young.promotions", "withheld")
    granting = threading.Timer(1, rename, ("withheld", "young.promotions"))
    granting.start()
    assert promote("young", version, why="test").champion == version
    granting.join()


@pytest.mark.parametrize("step", ["entry", "alias"])
def test_a_promoter_that_is_killed_leaves_the_champion_and_no_lock(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """SIGKILL after the evaluation, before the entry in the log or between it and the aliases."""
    team.use(monkeypatch)
    model = f"killed-at-{step}"
    with_champion(model)
    dying, other = add_versions(model, "1", 2)
    racer = start_racer(team, team.stack.settings.mlflow_address(), tmp_path, "dying", 1, {model: dying}, stop=step)
    wait_for(tmp_path / "dying stopped", racer)
    racer.kill()
    racer.communicate(timeout=60)
    assert alias_version(connect(), model, CHAMPION) == 1
    # The next run of the same machine: what the dead one held there is free as well.
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "homes/dying"))
    assert promote(model, other, why="the next run", settle_s=1).champion == other
    assert [alias_version(connect(), model, alias) for alias in (CHAMPION, PREVIOUS)] == [other, 1]
    in_between = [dying] if step == "alias" else []
    assert [entry.to_version for entry in history(model)] == [1, *in_between, other]


def test_a_run_goes_by_the_env_file(team: Team, line: Line, tmp_path: Path) -> None:
    """The runbook's first run, over stages that take no time."""
    script = block("first-run")
    assert "make run" in script and "ENV=.hazardline/services/env" in script
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: gate_policy@1\nname: tiny@1\nrules:\n  - {kind: test_clips, minimum: 1}\n")
    recipe = tmp_path / "crashchat_pocket_smoke.yaml"
    text = (ROOT / "recipes/crashchat_pocket_smoke.yaml").read_text()
    recipe.write_text(re.sub(r"(?m)^gate:\n(  .*\n)+", f"gate:\n  policy: {policy}\n", text))
    tiny = os.pathsep.join([str(ROOT / "tests/pipelines/tiny_stages"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", tiny)
        said = runbook("first-run", team, **{"recipes/crashchat_pocket_smoke.yaml": str(recipe)})
    assert "Report: " in said
    assert (team.installation.folder / "home/runs/latest/summary.json").is_file()


def test_a_champion_comes_back_from_a_backup(
    team: Team, line: Line, empty_team: Team, own_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the runbook says: champion, promotion log and artifacts, on another S3 server and with other passwords."""
    runbook("backup", team, **{"/var/backups/hazardline": str(tmp_path)})
    (made,) = tmp_path.glob("mlflow-*")
    assert made.stat().st_mode & 0o777 == 0o700
    with monkeypatch.context() as patch:
        team.use(patch)
        before = history(MODEL)
        (tmp_path / "before").mkdir()
        fetch_champion(MODEL, tmp_path / "before")

    said = runbook("restore", empty_team, own_s3, BACKUP=str(made))
    assert "restored" in said
    old, new = team.secrets(), empty_team.secrets()
    assert old["mlflow-user"] != new["mlflow-user"] and old["mlflow-admin"] != new["mlflow-admin"]
    assert old["mlflow-webhook-key"] == new["mlflow-webhook-key"], "what it encrypted is in the database"
    empty_team.use(monkeypatch)
    assert history(MODEL) == before
    (tmp_path / "after").mkdir()
    fetch_champion(MODEL, tmp_path / "after")
    assert sha256_tree(tmp_path / "after") == sha256_tree(tmp_path / "before")
    assert candidate(line, "after-the-restore") == "promoted", "the log goes on"
    with pytest.raises(UserError, match=r"holds artifacts such as .*, registered models, runs already"):
        restore(empty_team.installation, made, START_TIMEOUT_S)
    assert all(state.is_up for state in empty_team.stack.states()), "what is refused stops nothing"


def test_rotation_ends_the_old_secrets(team: Team, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    before = team.environment()
    runbook("rotate-services", team)
    after = team.environment()
    assert before["MLFLOW_TRACKING_PASSWORD"] != after["MLFLOW_TRACKING_PASSWORD"]
    with monkeypatch.context() as patch:
        team.use(patch)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", before["MLFLOW_TRACKING_PASSWORD"])
        with pytest.raises(UserError, match="MLflow at"):
            history(MODEL)
    team.use(monkeypatch)
    assert [entry.to_version for entry in history(MODEL)][:2] == [1, 2]
    if team.stack.storage.ceph is not None:
        old = boto3.client(
            "s3",
            endpoint_url=after["HAZARDLINE_S3_ENDPOINT"],
            aws_access_key_id=before["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=before["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            old.list_buckets()


def test_a_rollback_is_in_the_log(team: Team, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    said = runbook("rollback-registry", team)
    assert "version 1 is champion, previous: none" in said
    team.use(monkeypatch)
    assert history(MODEL)[-1].action == "rollback"


def test_what_is_built_in_cannot_be_changed(team: Team) -> None:
    with pytest.raises(UserError, match=r"bucket_prefix is hazardline in .* and cannot become another"):
        up(team.installation, {"bucket_prefix": "another"}, START_TIMEOUT_S)


def test_no_second_backup_goes_into_a_folder(team: Team, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        backup(team.installation, tmp_path)


def test_a_database_of_an_older_mlflow_is_refused_and_then_upgraded(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last in this file: it takes away what the tests before it have written."""
    team.stack.mlflow.stop()
    put_older_databases(team)
    ask = team.stack.postgres.ask
    told = rf"the schema {SCHEMA}, expected \w+: made by an older MLflow\. Back up first .* SERVICES=--upgrade"
    with pytest.raises(UserError, match=told):
        up(team.installation, {}, START_TIMEOUT_S)
    assert ask("select version_num from alembic_version", "mlflow") == [SCHEMA]
    assert ask("select count(*) from users", "mlflow_auth") == ["2"], "what is refused changes nothing"
    runbook("backup", team, **{"/var/backups/hazardline": str(tmp_path)})
    (made,) = tmp_path.glob("mlflow-*")
    read_backup(made)

    assert "mlflow    up" in runbook("upgrade", team)
    team.use(monkeypatch)
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))  # with no copy of the other promotion log
    client = connect()
    experiment = client.get_experiment_by_name("hazardline")
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'evaluate'")
    assert run.data.params == {"base": "pocket"}
    assert run.data.metrics == {"candidate.recognition_macro_f1": 0.875}
    assert run.data.tags["hazardline.note"] == "written by MLflow 2.22.2"
    assert client.get_registered_model(MODEL).aliases == {"champion": "2", "previous": "1"}
    assert [(entry.from_version, entry.to_version, entry.who) for entry in history(MODEL)] == [
        (None, 1, "ann"),
        (1, 2, "ann"),
    ]
    assert promote(MODEL, 3, why="after the upgrade").champion == 3, "its account may still write its models"

    team.stack.mlflow.stop()
    ask("update alembic_version set version_num = 'f00000000000'", "mlflow")
    with pytest.raises(UserError, match=r"schema f00000000000, .* does not know, as after a newer one"):
        up(team.installation, {}, START_TIMEOUT_S)
