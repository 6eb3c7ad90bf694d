"""Real services: PostgreSQL, MLflow with authentication, and Ceph where it is installed (moto's server where not)."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.services.ceph import missing_tools
from hazardline.services.installation import Installation
from hazardline.services.postgres import find_tool
from hazardline.services.stack import Stack, down, prepared, up
from tests.s3_service import s3_service

START_TIMEOUT_S = 300.0
OWN_KEYS = {"AWS_ACCESS_KEY_ID": "team-key", "AWS_SECRET_ACCESS_KEY": "team-secret-0815"}
CLIENTS_VARIABLES = ("HAZARDLINE_", "MLFLOW_", "AWS_")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class Team:
    """The services of a team that has them all on one machine."""

    installation: Installation

    @property
    def stack(self) -> Stack:
        """The services."""
        return Stack(self.installation, self.installation.settings())

    def environment(self) -> dict[str, str]:
        """What a shell has after it has read the env file."""
        script = f"env -i PATH=$PATH sh -c 'set -a; . {self.installation.env_path}; env'"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        values = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return {name: value for name, value in values.items() if name.startswith(CLIENTS_VARIABLES)}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process be a run that uses them."""
        forget(monkeypatch)
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)

    def secrets(self) -> dict[str, str]:
        """All that must not be seen, by file."""
        return {path.name: path.read_text() for path in (self.installation.folder / "secrets").iterdir()}


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what the environment says of services away."""
    for name in list(os.environ):
        if name.startswith(CLIENTS_VARIABLES) and name != "HAZARDLINE_DATASETS":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_tools() -> None:
    """PostgreSQL is installed."""
    try:
        find_tool("pg_ctl")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach, with a short name; those of pytest are for this user alone."""
    folder = Path(tempfile.mkdtemp(prefix="hazardline-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own_s3() -> Iterator[str]:
    """A team's own S3 server (moto's)."""
    with s3_service() as address:
        yield address


@pytest.fixture(scope="module")
def team(postgres_tools: None, open_folder: Path, own_s3: str) -> Iterator[Team]:
    """Services that are up. A test leaves them up."""
    with pytest.MonkeyPatch.context() as patch:
        forget(patch)
        patch.setenv("HAZARDLINE_HOME", str(open_folder / "home"))
        patch.setenv("HAZARDLINE_DATASETS", str(open_folder / "home/datasets"))
        if missing_tools():
            use_own_s3(own_s3, patch)
        team = Team(Installation())
        names = ("mlflow_port", "postgres_port", "s3_port", "ceph_port")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        try:
            up(team.installation, {**ports, "mlflow_workers": 1}, START_TIMEOUT_S)
            yield team
        finally:
            down(team.installation)


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


def use_own_s3(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name a team's own server."""
    for name, value in {**OWN_KEYS, "HAZARDLINE_S3_ENDPOINT": address}.items():
        monkeypatch.setenv(name, value)
