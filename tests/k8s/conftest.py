"""What `kubectl kustomize` makes of every overlay, and databases of a real PostgreSQL."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from k8s.check import OVERLAYS, Object, render
from tests.k8s.servers import postgres_server

NAMES = ("local", "staging", "production")
OLDEST = "1.30"
"""kubectl's version, which brings kustomize 5."""


@pytest.fixture(scope="session")
def _rendered() -> dict[str, list[Object]]:
    if shutil.which("kubectl") is None:
        pytest.skip(f"kubectl {OLDEST} or later is missing, which puts the overlays together (https://kubernetes.io)")
    said = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    version = json.loads(said.stdout)["clientVersion"]["gitVersion"]
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < tuple(map(int, OLDEST.split("."))):
        pytest.skip(f"kubectl is {version}; one of {OLDEST} or later is needed (Debian 12's knows no components)")
    return {name: render(OVERLAYS / name) for name in NAMES}


@pytest.fixture
def rendered(_rendered: dict[str, list[Object]]) -> dict[str, list[Object]]:
    """The objects of each overlay, to be changed at will."""
    return copy.deepcopy(_rendered)


@pytest.fixture(params=NAMES)
def overlay(request: pytest.FixtureRequest, rendered: dict[str, list[Object]]) -> list[Object]:
    """The objects of one overlay."""
    return rendered[request.param]


@pytest.fixture
def production(rendered: dict[str, list[Object]]) -> list[Object]:
    """The objects of the overlay `production`."""
    return rendered["production"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """A PostgreSQL server of this module; libpq's variables for it."""
    with postgres_server() as variables:
        yield variables


@pytest.fixture
def databases(postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two empty databases, and libpq's variables in the environment."""
    import psycopg

    for name, value in postgres.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        for database in ("mlflow", "mlflow_auth"):
            connection.execute(f"drop database if exists {database} with (force)")
            connection.execute(f"create database {database}")
    yield
