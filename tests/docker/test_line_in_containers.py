"""The line through KFP's Docker runner, against a team's services; and what a container that fails comes to."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hazardline.services.installation import Purpose
from hazardline.stages import STAGES
from hazardline.tracking import connect
from tests.docker.checkout import RECIPE, ROOT, USER, Line, new_home, run_pipelines
from tests.docker.daemon import Daemon
from tests.team import Team

MODEL = "crashchat-pocket-smoke"
PIPELINE = "hazardline-pipeline-python"
DIES = """
import os
import hazardline.stage_runner as runner
from hazardline.errors import UserError

def die(*arguments):
    {how}

runner.make_or_reuse = die
"""
"""A module that Python imports when it starts, by a `.pth` file: Debian has a `sitecustomize.py` of its own."""
BROKEN = {
    "exits": ("import sys; sys.exit(7)", 1, r"simulate failed:"),
    "raises": ("raise ValueError('a defect')", 1, r"simulate failed: ValueError: a defect"),
    "says-why": ("raise UserError('no display')", 2, r"simulate failed: no display"),
    "is-killed": ("os.kill(os.getpid(), 9)", 1, r"simulate failed: the process was ended from outside"),
}
BEFORE_IT_BEGINS = {
    "ends-at-once": '["sh", "-c", "exit 7"]',
    "does-nothing": '["true"]',
    "cannot-start": '["/no/such/program"]',
}


@pytest.fixture
def summary(line: Line) -> dict[str, object]:
    assert line.done.returncode == 0, line.done.stdout + line.done.stderr
    found: dict[str, object] = json.loads((line.home / "runs" / "latest" / "summary.json").read_text())
    return found


def test_every_stage_is_made_in_a_container(line: Line, summary: dict[str, list[dict[str, object]]]) -> None:
    assert [stage["name"] for stage in summary["stages"] if not stage["cached"]] == [stage.name for stage in STAGES]
    log = (line.home / "runs" / "latest" / "pipeline.log").read_text()
    assert len(re.findall(rf"Found image '{PIPELINE}:latest'", log)) == len(STAGES)
    owners = {path.stat().st_uid for path in (line.home / "store").rglob("*")}
    assert owners == {USER}, "nothing was written as root"


def test_the_servers_have_what_the_line_made(
    line: Line, summary: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    line.team.use(monkeypatch)
    client = connect()
    version = client.get_model_version_by_alias(MODEL, "champion")
    assert version.run_id and list(client.list_artifacts(version.run_id))
    assert any(key.endswith("adapter_model.safetensors") for key in keys(line.team, "mlflow"))
    assert any(key.endswith("metadata/timestamp.json") for key in keys(line.team, "releases"))
    assert any(key.startswith("mirror/") for key in keys(line.team, "work"))
    assert summary["device"] != {}


def keys(team: Team, purpose: Purpose) -> list[str]:
    """Keys in a bucket."""
    client = team.stack.storage.client("mlflow" if purpose == "mlflow" else "line")
    return [item["Key"] for item in client.list_objects_v2(Bucket=team.stack.settings.bucket(purpose))["Contents"]]


def test_secrets_are_nowhere_in_what_a_run_leaves(line: Line, summary: dict[str, object]) -> None:
    secrets = list(line.team.secrets().values())
    assert len(secrets) >= 5
    files = [path for path in line.home.rglob("*") if path.is_file()]
    assert [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)] == []
    assert not [secret[:4] for secret in secrets if secret in line.done.stdout + line.done.stderr]


def run(docker: Daemon, image: str, folder: Path) -> tuple[int, str]:
    """Status and errors of a run in another image, and that it left no container."""
    home = new_home(folder / "home")
    done = run_pipelines(docker, "run", str(RECIPE), "--runner", "docker", "--image", image, HAZARDLINE_HOME=str(home))
    assert docker.ask("ps", "--all", "--quiet") == ""
    return done.returncode, done.stderr


def derive(docker: Daemon, image: str, dockerfile: str, folder: Path) -> None:
    (folder / "Dockerfile").write_text(f"FROM {PIPELINE}\n{dockerfile}")
    docker.ask("build", "--tag", image, str(folder))


@pytest.mark.parametrize("name", BROKEN)
def test_a_container_that_fails_fails_the_run(docker: Daemon, name: str, tmp_path: Path) -> None:
    how, status, message = BROKEN[name]
    (tmp_path / "dies.py").write_text(DIES.format(how=how))
    (tmp_path / "dies.pth").write_text("import dies\n")
    derive(docker, name, "COPY dies.py dies.pth /opt/venv/lib/python3.11/site-packages/\n", tmp_path)
    ended, said = run(docker, name, tmp_path)
    assert ended == status and re.search(message, said), said


@pytest.mark.parametrize("name", BEFORE_IT_BEGINS)
def test_a_container_that_never_begins_fails_the_run(docker: Daemon, name: str, tmp_path: Path) -> None:
    derive(docker, name, f"ENTRYPOINT {BEFORE_IT_BEGINS[name]}\n", tmp_path)
    ended, said = run(docker, name, tmp_path)
    assert ended == 1 and "simulate failed: it was ended before it began; see the log" in said


def test_a_run_that_is_told_to_end_takes_its_container_along(docker: Daemon, tmp_path: Path) -> None:
    derive(docker, "sleeps", 'ENTRYPOINT ["sh", "-c", "sleep 600"]\n', tmp_path)
    home = new_home(tmp_path / "home")
    environment = {
        **os.environ,
        **docker.environment,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "HAZARDLINE_HOME": str(home),
    }
    command = [sys.executable, "-m", "pipelines", "run", str(RECIPE), "--runner", "docker", "--image", "sleeps"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        give_up_at = time.monotonic() + 120
        while not docker.ask("ps", "--quiet"):
            assert run.poll() is None and time.monotonic() < give_up_at
            time.sleep(0.2)
        run.terminate()
        assert run.wait(timeout=60) == 128 + 15
    while docker.ask("ps", "--all", "--quiet"):
        assert time.monotonic() < give_up_at
        time.sleep(0.2)
