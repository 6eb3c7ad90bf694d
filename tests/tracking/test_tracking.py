"""Runs in a real SQLite store: resumed by key, closed as they end, and errors that keep secrets."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

from hazardline.errors import UserError
from hazardline.tracking import ask_patiently, connect, file_lock, mlflow_home, open_run, public_uri, tracking_uri

CANARY = "canary-4711"


@pytest.mark.parametrize(
    "uri, shown",
    [
        (f"http://ann:{CANARY}@host:5000/sub?token={CANARY}#f", "http://host:5000/sub"),
        (f"https://ann:{CANARY}/x@y@host", "https://host"),
        (f"postgresql+psycopg://ann:{CANARY}@host/db?password={CANARY}", "postgresql+psycopg://host/db"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_an_address_is_shown_without_secrets(uri: str, shown: str) -> None:
    assert public_uri(uri) == shown


def test_the_default_store_is_below_the_home_folder(home: Path) -> None:
    assert tracking_uri() == f"sqlite:///{home}/mlflow/mlflow.db"
    assert mlflow_home() == home / "mlflow"


def test_a_run_of_the_same_key_is_resumed(home: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    with open_run("train-linguistic", "run:1", {"hazardline.recipe_digest": "f" * 64}) as run:
        run.log_params({f"p{number}": number for number in range(150)})
        run.log_metrics({"loss": 2.0}, step=1)
        run.log_file(tmp_path / "note.txt", "notes")
    with open_run("train-linguistic", "run:1") as again:
        again.log_metrics({"loss": 1.0}, step=2)
        again.log_text("bye", "notes/bye.txt")
    with open_run("train-linguistic", "run:2") as other:
        pass
    assert again.run_id == run.run_id != other.run_id
    found = connect().get_run(run.run_id)
    assert found.info.status == "FINISHED" and len(found.data.params) == 150
    assert found.data.tags["hazardline.stage"] == "train"
    assert [point.value for point in connect().get_metric_history(run.run_id, "loss")] == [2.0, 1.0]
    artifacts = home / "mlflow" / "artifacts" / "hazardline" / run.run_id / "artifacts" / "notes"
    assert sorted(path.name for path in artifacts.iterdir()) == ["bye.txt", "note.txt"]


@pytest.mark.parametrize("error, status", [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_ends_as_its_block_does(home: Path, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), open_run("train", "1") as run:
        raise error
    assert connect().get_run(run.run_id).info.status == status


def test_an_injected_run_is_used_and_left_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect()
    injected = client.create_run(client.create_experiment("theirs", str(home / "theirs"))).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    with open_run("train", "1") as run:
        run.log_metrics({"loss": 1.0})
    found = client.get_run(injected)
    assert run.run_id == injected and found.info.status == "RUNNING" and found.data.metrics == {"loss": 1.0}


def test_of_a_run_that_kubeflow_has_injected_no_second_one_is_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KFP 2.17 gives a pod the run, its experiment and the server; both stages that log go into that run."""
    client = connect()
    experiment = client.create_experiment("kfp", str(home / "kfp"))
    injected = client.create_run(experiment, run_name="nightly").info.run_id
    for name, value in (
        ("MLFLOW_RUN_ID", injected),
        ("MLFLOW_EXPERIMENT_ID", experiment),
        ("MLFLOW_TRACKING_URI", tracking_uri()),
    ):
        monkeypatch.setenv(name, value)
    for stage in ("train", "register"):
        with open_run(stage, "another-key") as run:
            run.log_metrics({f"{stage}_metric": 1.0})
    with pytest.raises(RuntimeError), open_run("train", "another-key"):
        raise RuntimeError
    experiments = [found.experiment_id for found in client.search_experiments()]
    (only,) = client.search_runs(experiments)
    assert only.info.run_id == injected and only.data.metrics == {"train_metric": 1.0, "register_metric": 1.0}
    assert only.info.status == "RUNNING", "its owner ends it, also where a stage fails"


def test_an_injected_run_that_does_not_exist_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(UserError, match="not found"), open_run("train", "1"):
        pass


def test_a_key_that_would_break_a_filter_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="only letters"), open_run("train", "a' or 1"):
        pass


def test_a_parameter_does_not_change(home: Path) -> None:
    with open_run("train", "1") as run:
        run.log_params({"rank": 8})
        with pytest.raises(UserError, match="rank"):
            run.log_params({"rank": 16})


def test_an_unreachable_server_is_told_soon_and_without_secrets(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{CANARY}@127.0.0.1:9/")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begin = time.monotonic()
    with caplog.at_level(logging.DEBUG), pytest.raises(UserError) as caught:
        connect()
    assert time.monotonic() - begin < 10
    assert "http://127.0.0.1:9/" in str(caught.value) and "MLFLOW_TRACKING_URI" in str(caught.value)
    said = capfd.readouterr()
    assert CANARY not in str(caught.value) + caplog.text + said.out + said.err
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == CANARY


@pytest.mark.parametrize(
    "uri, said",
    [
        ("mlruns", r"MLflow at mlruns: .*migrate to a database"),
        (f"postgresql://ann:{CANARY}@127.0.0.1:1/db", "check MLFLOW_TRACKING_URI"),
        ("http://", "check MLFLOW_TRACKING_URI"),
    ],
)
def test_an_address_of_the_wrong_kind_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, uri: str, said: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # of ten, with pauses that double
    with pytest.raises(UserError, match=said) as caught:
        connect()
    assert CANARY not in str(caught.value)


FIRST_CONTACT = """
from hazardline.tracking import open_run
with open_run("train", "1") as run:
    run.log_metrics({"loss": 1.0})
print(run.run_id)
"""


def test_two_processes_may_make_the_store_at_once_and_say_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "HAZARDLINE_HOME": str(tmp_path / "new")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", FIRST_CONTACT]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert [error for _, error in said] == ["", ""]
    assert all(len(output.strip()) == 32 for output, _ in said)


@pytest.mark.parametrize(("code", "is_asked_again"), [(PERMISSION_DENIED, True), (RESOURCE_DOES_NOT_EXIST, False)])
def test_what_is_refused_for_good_is_told(monkeypatch: pytest.MonkeyPatch, code: int, is_asked_again: bool) -> None:
    monkeypatch.setattr("hazardline.tracking.PATIENCE_S", 0.2)
    asked = []

    def refuse() -> None:
        asked.append(code)
        raise MlflowException("no", error_code=code)

    with pytest.raises(MlflowException, match="no"):
        ask_patiently(refuse)
    assert (len(asked) > 1) == is_asked_again


def test_a_lock_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    with file_lock(path), pytest.raises(UserError, match="another process"), file_lock(path, timeout_s=0.1):
        pass
    with file_lock(path, timeout_s=0.1):
        pass
