"""A real MLflow database for every test that asks for a home."""

from pathlib import Path

import pytest

from tests.mlflow_store import make_template, use_store


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def home(tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_store(mlflow_template, tmp_path / "home", monkeypatch)
    monkeypatch.delenv("HAZARDLINE_DATASETS", raising=False)
    return tmp_path / "home"
