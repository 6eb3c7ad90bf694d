"""The images, really built, and the line, run in them once for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docker.checkout import BUILT, RECIPE, Line, new_home, run_pipelines
from tests.docker.daemon import CLIENT, VARIABLE, Daemon, daemon, make_base, what_is_missing
from tests.docker.team_services import Services, team_services


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the images built from this checkout."""
    missing = what_is_missing()
    if missing is not None:
        pytest.skip(missing)
    work = tmp_path_factory.mktemp("images")
    with daemon(Path(os.environ[VARIABLE]).absolute()) as running:
        base = make_base(running, work)
        done = run_pipelines(running, "images", "build", "--base-image", base, "--docker", CLIENT,
                         *(word for name in BUILT for word in ("--image", name)))  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        running.ask("image", "prune", "--force")  # images of former checkouts
        yield running


@pytest.fixture(scope="session")
def services(docker: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with team_services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="session")
def line(docker: Daemon, services: Services, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The pocket line in miniature, each task in a container of the pipeline image."""
    folder = tmp_path_factory.mktemp("line")
    home = new_home(folder / "home")
    recipe = folder / RECIPE.name
    data = yaml.safe_load(RECIPE.read_text())
    data["release"]["destination"] = services.destination
    recipe.write_text(yaml.safe_dump(data))
    variables = {**services.variables, "HAZARDLINE_HOME": str(home)}
    return Line(run_pipelines(docker, "run", str(recipe), "--runner", "docker", **variables), home, services)
