"""A team's services for tests: PostgreSQL, MLflow with authentication, and Ceph (moto's server where it is missing)."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.services.ceph import missing_tools
from hazardline.services.installation import Installation
from hazardline.services.object_storage import ACCOUNTS
from hazardline.services.postgres import find_tool
from hazardline.services.stack import Stack, down, up

START_TIMEOUT_S = 300.0
OWN_KEYS = {"AWS_ACCESS_KEY_ID": "team-key", "AWS_SECRET_ACCESS_KEY": "team-secret-0815"}
CLIENTS_VARIABLES = ("HAZARDLINE_", "MLFLOW_", "AWS_")


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

    def let_devices_read_releases(self) -> None:
        """What is up to the owner of an S3 server that is a team's own."""
        bucket = self.stack.settings.bucket("releases")
        allowed = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        self.stack.storage.client("line").put_bucket_policy(Bucket=bucket, Policy=policy)

    def secrets(self) -> dict[str, str]:
        """All that must not be seen, by file; keys of S3 by account."""
        found = {path.name: path.read_text() for path in (self.installation.folder / "secrets").iterdir()}
        mine = {name: text for name, text in found.items() if not name.startswith(("s3-", "pgpass"))}
        return mine | {f"s3-{account}": self.stack.storage.keys(account).secret_key for account in ACCOUNTS}


def skip_without_postgres() -> None:
    """Skip what needs PostgreSQL's server where it is not installed."""
    try:
        find_tool("pg_ctl")
    except UserError as error:
        pytest.skip(str(error))


@contextmanager
def open_to_others() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach, with a short name; those of pytest are for this user alone."""
    folder = Path(tempfile.mkdtemp(prefix="hazardline-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def at_home(folder: Path, own_s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment be that of a first start below a folder.

    Args:
        folder: PostgreSQL's user must reach it.
        own_s3: address of the S3 server to take where Ceph is not installed.
        monkeypatch: what undoes it.
    """
    forget(monkeypatch)
    monkeypatch.setenv("HAZARDLINE_HOME", str(folder / "home"))
    monkeypatch.setenv("HAZARDLINE_DATASETS", str(folder / "home/datasets"))
    if missing_tools():
        use_own_s3(own_s3, monkeypatch)


@contextmanager
def started() -> Iterator[Team]:
    """The services that the environment says, on ports that nobody uses, for the length of a block."""
    team = Team(Installation())
    names = ("mlflow_port", "postgres_port", "s3_port", "ceph_port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    try:
        up(team.installation, {**ports, "mlflow_workers": 1}, START_TIMEOUT_S)
        if team.stack.storage.ceph is None:
            team.let_devices_read_releases()
        yield team
    finally:
        down(team.installation)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what the environment says of services away."""
    for name in list(os.environ):
        if name.startswith(CLIENTS_VARIABLES) and name != "HAZARDLINE_DATASETS":
            monkeypatch.delenv(name)


def use_own_s3(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name a team's own server."""
    for name, value in {**OWN_KEYS, "HAZARDLINE_S3_ENDPOINT": address}.items():
        monkeypatch.setenv(name, value)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
