"""A real MLflow database for a test, in milliseconds: the schema is made once, then the file is copied."""

import shutil
from pathlib import Path

import pytest


def make_template(folder: Path) -> Path:
    """A database with MLflow's schema and nothing in it."""
    from mlflow import MlflowClient

    path = folder / "mlflow.db"
    uri = f"sqlite:///{path}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    return path


def use_store(template: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a fresh copy the default store of a home folder, and forget what the environment says of MLflow."""
    (home / "mlflow").mkdir(parents=True)
    shutil.copyfile(template, home / "mlflow" / "mlflow.db")
    monkeypatch.setenv("HAZARDLINE_HOME", str(home))
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
