"""The files that MLflow's pods get, with MLflow itself and, where it is installed, a real PostgreSQL."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from k8s.check import Object
from tests.k8s.objects import GUIDE, get
from tests.s3_service import s3_client, s3_service

K8S = Path(__file__).parents[2] / "k8s"
MIGRATE = K8S / "base" / "mlflow" / "migrate.py"
BACKUP = K8S / "components" / "backup" / "mlflow_backup.py"
MLFLOWS_OWN = pytest.mark.filterwarnings("ignore")
"""Importing MLflow's server and command line warns of MLflow's own dependencies."""


@MLFLOWS_OWN
def test_the_servers_command_is_one_that_mlflow_knows(overlay: list[Object]) -> None:
    import click
    from mlflow.cli import server

    container = get(overlay, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["mlflow", "server"]
    context = server.make_context("server", list(container["args"]))
    assert isinstance(context, click.Context)
    assert context.params["app_name"] == "basic-auth" and context.params["serve_artifacts"] is True
    assert context.params["backend_store_uri"] == "postgresql+psycopg:///mlflow"


@MLFLOWS_OWN
def test_variables_of_the_server_are_mlflows(production: list[Object]) -> None:
    from mlflow import environment_variables
    from mlflow.cli import server

    known = {str(parameter.envvar) for parameter in server.params if parameter.envvar}
    # Some are private in MLflow's code, and are called in the environment as all others.
    known |= {found.name for found in vars(environment_variables).values() if hasattr(found, "name")}
    container = get(production, "Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]
    used = {variable["name"] for variable in container["env"]}
    used |= set(get(production, "ConfigMap", "hazardline-mlflow-settings")["data"])
    assert {name for name in used if name.startswith("MLFLOW_")} - known == set()


@MLFLOWS_OWN
def test_every_process_reads_the_secrets_of_webhooks_under_the_guides_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process of each replica makes such an object; by itself each would draw a key of its own."""
    from mlflow.store.model_registry.dbmodels.models import EncryptedString

    found = re.search(r'MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY="\$\((.*)\)"', GUIDE)
    assert found is not None
    key = subprocess.run(["sh", "-c", found[1]], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", key)
    one, other = EncryptedString(), EncryptedString()
    written = one.process_bind_param("of-the-webhook", None)
    assert written != "of-the-webhook" and other.process_result_value(written, None) == "of-the-webhook"


def test_clients_of_the_cluster_are_let_in_under_their_names(overlay: list[Object]) -> None:
    from mlflow.server.security_utils import is_allowed_host_header

    allowed = get(overlay, "ConfigMap", "hazardline-mlflow-settings")["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    address = get(overlay, "ConfigMap", "hazardline-settings")["data"]["MLFLOW_TRACKING_URI"]
    assert is_allowed_host_header(allowed, address.removeprefix("http://"))
    assert is_allowed_host_header(allowed, "localhost:5000"), "kubectl port-forward"
    assert not is_allowed_host_header(allowed, "mlflow.evil.test:5000")
    for ingress in (item for item in overlay if item["kind"] == "Ingress" and item["metadata"]["name"] == "mlflow"):
        assert is_allowed_host_header(allowed, ingress["spec"]["rules"][0]["host"])


@MLFLOWS_OWN
def test_mlflow_reads_the_users_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = K8S / "base" / "mlflow" / "basic_auth.ini"
    from mlflow.server.auth.config import read_auth_config

    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(path))
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "of-the-test")
    config = read_auth_config()
    assert config.database_uri == "postgresql+psycopg:///mlflow_auth" and config.default_permission == "READ"
    assert config.admin_username == "admin" and config.admin_password == "of-the-test"
    assert "password" not in path.read_text().replace("ADMIN_PASSWORD", "").split("[mlflow]")[1].split("; What")[0]


def _rows(database: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(dbname=database) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


# About 15 s, of which most is MLflow's import, twice.
def test_a_pod_waits_for_the_one_that_migrates_and_then_makes_all_tables(databases: None) -> None:
    import psycopg

    lock = runpy.run_path(str(MIGRATE))["LOCK"]
    settings = {
        "MLFLOW_AUTH_CONFIG_PATH": str(MIGRATE.with_name("basic_auth.ini")),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x",
    }
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with psycopg.connect(dbname="mlflow", autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (lock,))
        pod = subprocess.Popen(
            [sys.executable, str(MIGRATE)],
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while other.execute(waiting).fetchone() == (0,):
            assert pod.poll() is None, pod.communicate()[1]
            time.sleep(0.1)
        assert tables("mlflow") == set()
    said = pod.communicate()[1]
    assert pod.returncode == 0, said
    assert {"experiments", "registered_models", "webhooks"} <= tables("mlflow")
    assert "users" in tables("mlflow_auth")


def tables(database: str) -> set[str]:
    return {name for (name,) in _rows(database, "select tablename from pg_tables where schemaname = 'public'")}


def backup_module() -> Any:
    spec = importlib.util.spec_from_file_location("mlflow_backup", BACKUP)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of a real S3 server with the bucket `backups`; what it holds outlives a test, so the prefix does not."""
    with s3_service() as address:
        monkeypatch.setenv("MLFLOW_BACKUP_DESTINATION", f"s3://backups/{tmp_path.name}")
        yield s3_client(address, "backups", monkeypatch)


def _fill(value: str) -> None:
    import psycopg

    for database in ("mlflow", "mlflow_auth"):
        with psycopg.connect(dbname=database) as connection:
            connection.execute("create table if not exists runs (id int primary key, name text)")
            connection.execute(
                "insert into runs values (1, %s) on conflict (id) do update set name = %s", (value, value)
            )


def test_a_backup_is_restored_as_it_was(databases: None, bucket: Any, capfd: pytest.CaptureFixture[str]) -> None:
    module = backup_module()
    _fill("before")
    module.main(["dump"])
    name = capfd.readouterr().out.strip()
    module.main(["list"])
    assert capfd.readouterr().out.split() == [name]
    _fill("after")
    module.main(["restore", name])
    for database in ("mlflow", "mlflow_auth"):
        assert _rows(database, "select * from runs") == [(1, "before")]


def test_a_damaged_backup_changes_nothing(
    databases: None, bucket: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module = backup_module()
    _fill("before")
    module.main(["dump"])
    name = capfd.readouterr().out.strip()
    _fill("after")
    bucket.put_object(Bucket="backups", Key=f"{tmp_path.name}/{name}/mlflow_auth.dump", Body=b"PGDMP damaged")
    with pytest.raises(SystemExit, match="damaged"):
        module.main(["restore", name])
    assert _rows("mlflow", "select * from runs") == _rows("mlflow_auth", "select * from runs") == [(1, "after")]


def test_a_backup_that_was_cut_off_is_not_listed(
    databases: None, bucket: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module = backup_module()
    import psycopg

    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute("drop database mlflow_auth with (force)")
    with pytest.raises(subprocess.CalledProcessError):
        module.dump(bucket, "backups", tmp_path.name, tmp_path, datetime(2026, 1, 2, tzinfo=UTC))
    module.main(["list"])
    assert capfd.readouterr().out.strip() == ""
    assert bucket.list_objects_v2(Bucket="backups", Prefix=tmp_path.name)["KeyCount"] == 1, "the first dump is there"


def test_a_wrong_destination_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_BACKUP_DESTINATION", "backups/mlflow")
    with pytest.raises(SystemExit, match="expected s3://bucket/prefix"):
        backup_module().main(["list"])
