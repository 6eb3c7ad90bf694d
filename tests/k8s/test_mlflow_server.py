"""MLflow's server as a pod of production starts it: command, variables and files, on a real PostgreSQL and S3."""

import http
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from hazardline.register.promote import CHAMPION
from k8s.check import Object
from tests.k8s.objects import get
from tests.k8s.servers import free_port
from tests.pipelines.test_listen import SECRET
from tests.s3_service import s3_client, s3_service

from pipelines.listen import serve

FILES = Path(__file__).parents[2] / "k8s" / "base" / "mlflow"
SECRETS = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": "of-the-admin-00",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-the-forms",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a real S3 server with the bucket `artifacts`."""
    with s3_service() as address:
        yield s3_client(address, "artifacts", monkeypatch)


@pytest.fixture
def server(
    production: list[Object], databases: None, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Address of the server. What this machine has elsewhere than a pod is given anew: files, addresses, home."""
    container = get(production, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]
    secret = {item["name"] for item in container["env"] if "secretKeyRef" in item.get("valueFrom", {})}
    assert {name for name in secret if name.startswith("MLFLOW_")} == set(SECRETS)
    port = free_port()
    plain = {
        item["name"]: item["value"]
        for item in container["env"]
        if item["name"].startswith("MLFLOW_WEBHOOK_") and "value" in item
    }
    assert "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS" in plain
    variables = {
        **plain,
        **get(production, "ConfigMap", "hazardline-mlflow-settings")["data"],
        **SECRETS,
        "MLFLOW_S3_ENDPOINT_URL": bucket.meta.endpoint_url,
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://artifacts/mlflow",
        "MLFLOW_AUTH_CONFIG_PATH": str(FILES / "basic_auth.ini"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    replaced = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}
    assert set(replaced) <= set(container["args"])
    arguments = [replaced.get(argument, argument) for argument in container["args"]]
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, str(FILES / "migrate.py")], check=True, stdout=log, stderr=log)
        command = [sys.executable, "-m", *container["command"], *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        try:
            while not _is_up(port):
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait()


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
            return True
    except OSError:
        return False


def _give_password(server: str, user: str, password: str) -> str:
    """What `set_user.py` says, in a pod whose server listens on another port."""
    script = (FILES / "set_user.py").read_text()
    assert "http://localhost:5000" in script
    command = [sys.executable, "-c", script.replace("http://localhost:5000", server), user]
    return subprocess.run(command, input=password, text=True, capture_output=True, check=True).stdout


# About 30 s: MLflow is imported six times.
def test_the_line_logs_in_and_leaves_runs_and_artifacts(
    server: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for password in ("of-the-line-00", "of-the-line-01"):
        assert _give_password(server, "hazardline-pipeline", password) == "hazardline-pipeline may log in\n"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "hazardline-pipeline")
    client = MlflowClient(server)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-the-line-00")
    with pytest.raises(MlflowException, match="not authenticated"):
        client.create_experiment("hazardline")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-the-line-01")
    run = client.create_run(client.create_experiment("hazardline"))
    client.log_text(run.info.run_id, "of the run", "note.txt")
    keys = [item["Key"] for item in bucket.list_objects_v2(Bucket="artifacts")["Contents"]]
    assert len(keys) == 1 and keys[0].startswith("mlflow/") and keys[0].endswith("/note.txt")
    request = urllib.request.Request(f"{server}/api/2.0/mlflow/experiments/search", headers={"Host": "evil.test"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request)
    refused.value.close()


# About 20 s, for the same reason.
def test_the_server_tells_the_listener_of_a_new_champion(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: queue.Queue[str] = queue.Queue()

    def start() -> str:
        arrived.put("released")
        return "r-1"

    with serve(0, SECRET, "fleet", start) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.server_port}/"
        for secret in ("a secret that was exchanged", SECRET):
            assert _set_webhook(server, address, secret) == f"webhook hazardline-release tells {address}\n"
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"])
        client = MlflowClient(server)
        (hook,) = client.list_webhooks()
        assert client.test_webhook(hook.webhook_id).response_status == http.HTTPStatus.OK, (
            "a made-up alias of a made-up model"
        )
        client.create_registered_model("fleet")
        version = client.create_model_version("fleet", source="s3://artifacts/mlflow/model").version
        client.set_registered_model_alias("fleet", "candidate", version)
        client.set_registered_model_alias("fleet", CHAMPION, version)
        assert arrived.get(timeout=60) == "released"
        listener.shutdown()
        thread.join()
    assert arrived.empty()


def _set_webhook(server: str, listener: str, secret: str) -> str:
    """What `set_webhook.py` says, in a pod whose server and listener have other addresses."""
    script = (FILES.parents[1] / "components" / "release-listener" / "set_webhook.py").read_text()
    for there, here in (
        ("http://localhost:5000", server),
        ("http://release-listener.hazardline.svc.cluster.local/", listener),
    ):
        assert there in script
        script = script.replace(there, here)
    return subprocess.run(
        [sys.executable, "-c", script], input=secret, text=True, capture_output=True, check=True
    ).stdout
