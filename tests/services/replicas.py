"""Two MLflow servers on one database, as a Deployment of two has them, and promoters that race through them."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from hazardline.register.promote import GATE_TAG, SEEN_TAG, promote
from hazardline.services.daemon import Daemon, NotReadyError, ProcessRecord
from hazardline.tracking import connect, open_run
from tests.runbook import ROOT
from tests.services.racer import STOP
from tests.team import CLIENTS_VARIABLES, START_TIMEOUT_S, Team, free_ports


@contextmanager
def two_servers(team: Team) -> Iterator[list[str]]:
    """Addresses of a team's own server and of another one that runs the same command on another port."""
    settings = team.stack.settings
    first = psutil.Process(ProcessRecord.read(team.installation.folder / "run/mlflow.json").pid)
    (port,) = free_ports(1)
    command = [str(port) if text == str(settings.mlflow_port) else text for text in first.cmdline()]
    daemon = Daemon(team.installation, "replica", command, first.environ())
    address = f"http://127.0.0.1:{port}"
    daemon.start(port)
    try:
        daemon.wait_until_ready(lambda: _check(f"{address}/health"), START_TIMEOUT_S)
        yield [settings.mlflow_address(), address]
    finally:
        daemon.stop()


def _check(url: str) -> None:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20).close()
    except OSError as error:
        raise NotReadyError(str(error)) from None


def add_versions(model: str, seen: str, count: int) -> list[int]:
    """Versions whose gate is open against one champion, as the register stage makes them, without packages."""
    client = connect()
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    tags = {GATE_TAG: "open", SEEN_TAG: seen}
    with open_run("register", "1") as run:
        source = f"runs:/{run.run_id}/model/1"
        made = [client.create_model_version(model, source, run.run_id, tags=tags) for _ in range(count)]
    return [int(version.version) for version in made]


def with_champion(model: str) -> int:
    """Make a model with a champion; its version."""
    return promote(model, *add_versions(model, "none", 1), why="before the race").champion


def start_racer(
    team: Team, server: str, meet: Path, name: str, num_racers: int, versions: Mapping[str, int], stop: str = ""
) -> "subprocess.Popen[str]":
    """Start `tests.services.racer` as on a machine of its own: it shares no folder, and so no lock, with the others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CLIENTS_VARIABLES)}
    environment = {
        **kept,
        **team.environment(),
        "MLFLOW_TRACKING_URI": server,
        "HAZARDLINE_HOME": str(meet / "homes" / name),
        STOP: stop,
    }
    races = [f"{model}={version}" for model, version in versions.items()]
    command = [sys.executable, "-m", "tests.services.racer", str(meet), name, str(num_racers), *races]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcomes(racers: Sequence["subprocess.Popen[str]"]) -> list[dict[str, int | str]]:
    """What each racer said at its end, which is a good one."""
    said = [racer.communicate(timeout=300) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * len(racers), said
    return [json.loads(output) for output, _ in said]


def wait_for(path: Path, racer: "subprocess.Popen[str]") -> None:
    """Until a racer has left a file."""
    give_up_at = time.monotonic() + 120
    while not path.exists():
        assert racer.poll() is None, racer.communicate()
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
