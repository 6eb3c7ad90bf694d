"""MLflow and S3 as servers, for a line in containers.

Those of a file of environment variables, such as the one that `make services` writes, or else MLflow's server on SQLite
with its artifacts in a mock of S3 (moto).
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.s3_service import s3_service

VARIABLE = "HAZARDLINE_TEST_SERVICES"
START_TIMEOUT_S = 120
ARTIFACTS, RELEASES = "artifacts", "releases"
ANYBODY_READS = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{RELEASES}/*"}
    ],
}
"""Devices fetch releases without credentials."""
SECRETS = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class Services:
    """Where they are and how one gets in: the environment of a run."""

    variables: dict[str, str]
    destination: str
    """Address for releases."""

    def secrets(self) -> list[str]:
        """What must be found nowhere."""
        return [self.variables[name] for name in SECRETS if name in self.variables]

    def s3(self) -> Any:
        """A client of the S3 server."""
        return boto3.client(
            "s3",
            endpoint_url=self.variables["HAZARDLINE_S3_ENDPOINT"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            region_name=self.variables["AWS_DEFAULT_REGION"],
        )


@contextmanager
def team_services(folder: Path) -> Iterator[Services]:
    """Servers for the length of a block."""
    given = os.environ.get(VARIABLE)
    if given:
        yield from_file(Path(given))
        return
    with s3_service() as address:
        variables = {
            "HAZARDLINE_S3_ENDPOINT": address,
            "AWS_ACCESS_KEY_ID": "line",
            "AWS_SECRET_ACCESS_KEY": "canary-of-the-object-store",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        found = Services(variables, f"s3://{RELEASES}/line")
        for bucket in (ARTIFACTS, RELEASES):
            found.s3().create_bucket(Bucket=bucket)
        found.s3().put_bucket_policy(Bucket=RELEASES, Policy=json.dumps(ANYBODY_READS))
        with mlflow_server(folder, variables) as uri:
            yield Services({**variables, "MLFLOW_TRACKING_URI": uri}, found.destination)


def from_file(path: Path) -> Services:
    """Services that run already; releases of each run go to a prefix of their own."""
    lines = (line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    found = {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}
    releases = found.pop("HAZARDLINE_REPOSITORY")
    here = ("HAZARDLINE_HOME", "HAZARDLINE_STORE", "HAZARDLINE_DATASETS", "HAZARDLINE_SERVICES")
    variables = {name: value for name, value in found.items() if name not in here}
    return Services(variables, f"{releases}/docker-test-{time.time_ns():x}")


@contextmanager
def mlflow_server(folder: Path, storage: dict[str, str]) -> Iterator[str]:
    """Address of an MLflow server on SQLite, with its artifacts in S3."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"s3://{ARTIFACTS}"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {**quiet, **storage, "MLFLOW_S3_ENDPOINT_URL": storage["HAZARDLINE_S3_ENDPOINT"]}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            give_up_at = time.monotonic() + START_TIMEOUT_S
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < give_up_at, (folder / "log").read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait(timeout=60)


def answers(url: str) -> bool:
    """Whether a server says something at an address."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
