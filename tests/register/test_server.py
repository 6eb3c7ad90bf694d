"""Registration through a real MLflow server, with credentials in its address that must go nowhere."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hazardline.progress import EventReporter
from hazardline.register.champion import fetch_champion
from hazardline.register.promote import history, rollback
from hazardline.register.stage import run
from hazardline.tracking import connect
from tests.register.line_outputs import Line

CANARY = "canary-0815"
START_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def server(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with an empty store, as `host:port`."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(mlflow_template, folder / "mlflow.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | quiet
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            wait_until_up(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=120)


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_at:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_the_whole_life_of_a_champion_through_a_server(
    server: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{CANARY}@{server}")
    caplog.set_level(logging.DEBUG)
    line = Line(tmp_path / "line")
    reporter = EventReporter(tmp_path / "events.jsonl", "register")
    outcomes = []
    for name in ("one", "two"):
        champion, out = tmp_path / f"champion-{name}", tmp_path / f"out-{name}"
        champion.mkdir()
        out.mkdir()
        fetch_champion("m", champion)
        outcomes.append(run(line.config(), line.candidate(name, champion), out, reporter)["outcome"])
    assert outcomes == ["promoted", "promoted"]
    assert rollback("m", why="test").champion == 1
    assert [entry.to_version for entry in history("m")] == [1, 2, 1]

    version = connect().get_model_version("m", "2")
    run_root = connect().get_run(version.run_id).info.artifact_uri
    assert run_root.startswith("mlflow-artifacts:") and version.source.startswith(f"runs:/{version.run_id}/model/")
    assert not list(home.rglob("artifacts")), "artifacts belong to the server"

    registration = json.loads((tmp_path / "out-two" / "registration.json").read_text())
    assert registration["tracking_uri"] == f"http://{server}"
    said = capfd.readouterr()
    assert CANARY not in caplog.text + said.out + said.err
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert holders == []
