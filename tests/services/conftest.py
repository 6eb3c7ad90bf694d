"""Real services, once for the tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hazardline.services.installation import Installation
from hazardline.services.stack import down, prepared
from tests.s3_service import s3_service
from tests.team import Team, at_home, forget, free_ports, open_to_others, skip_without_postgres, started, use_own_s3


@pytest.fixture(scope="session")
def postgres_tools() -> None:
    """PostgreSQL is installed."""
    skip_without_postgres()


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach."""
    with open_to_others() as folder:
        yield folder


@pytest.fixture(scope="module")
def own_s3() -> Iterator[str]:
    """A team's own S3 server (moto's)."""
    with s3_service() as address:
        yield address


@pytest.fixture(scope="module")
def team(postgres_tools: None, open_folder: Path, own_s3: str) -> Iterator[Team]:
    """Services that are up. A test leaves them up."""
    with pytest.MonkeyPatch.context() as patch:
        at_home(open_folder, own_s3, patch)
        with started() as team:
            yield team


@pytest.fixture
def empty_team(team: Team, open_folder: Path, own_s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """An installation on a team's own S3 server that was never started, its settings chosen."""
    forget(monkeypatch)
    monkeypatch.setenv("HAZARDLINE_HOME", str(open_folder / "other"))
    use_own_s3(own_s3, monkeypatch)
    other = Team(Installation())
    other.installation.folder.mkdir(parents=True)
    mlflow_port, postgres_port = free_ports(2)
    ports = {"mlflow_port": mlflow_port, "postgres_port": postgres_port}
    prepared(other.installation, {**ports, "mlflow_workers": 1, "bucket_prefix": "other"})
    yield other
    down(other.installation)
