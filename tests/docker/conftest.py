"""The images, really built, and the line, run in them once for all tests against a team's services."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docker.checkout import BUILT, RECIPE, Line, new_home, run_pipelines
from tests.docker.daemon import CLIENT, VARIABLE, Daemon, NotPermittedError, daemon, make_base, what_is_missing
from tests.docker.planted import plant, secret_variables
from tests.s3_service import s3_service
from tests.team import Team, at_home, open_to_others, skip_without_postgres, started

HERE_ALONE = ("HAZARDLINE_SERVICES", "HAZARDLINE_STORE", "HAZARDLINE_DATASETS")
"""Folders in the env file of services that root has started: containers, which are nobody, could not write there."""


@pytest.fixture(scope="session")
def programs() -> None:
    """What these tests take is there."""
    missing = what_is_missing()
    if missing is not None:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def planted(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with secrets in it, from which the images are built."""
    return plant(tmp_path_factory.mktemp("checkout") / "hazardline")


@pytest.fixture(scope="session")
def bare_docker(programs: None) -> Iterator[Daemon]:
    """A daemon with the images that former tests have left."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(daemon(Path(os.environ[VARIABLE]).absolute()))
        except NotPermittedError as error:
            pytest.skip(f"Docker's daemon may not do here what it must: {error}")
        yield running


@pytest.fixture(scope="session")
def docker(bare_docker: Daemon, planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    """A daemon with the images built from this checkout, with secrets beside the code and in the environment."""
    base = make_base(bare_docker, tmp_path_factory.mktemp("images"))
    images = [word for name in BUILT for word in ("--image", name)]
    done = run_pipelines(bare_docker, "images", "build", "--base-image", base, "--docker", CLIENT, *images,
                         root=planted, **secret_variables())  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    bare_docker.ask("image", "prune", "--force")  # images of former checkouts
    return bare_docker


@pytest.fixture(scope="session")
def team(docker: Daemon) -> Iterator[Team]:
    """Services as `make services` starts them."""
    skip_without_postgres()
    with open_to_others() as folder, s3_service() as own_s3, pytest.MonkeyPatch.context() as patch:
        at_home(folder, own_s3, patch)
        with started() as team:
            patch.undo()
            yield team


@pytest.fixture(scope="session")
def line(docker: Daemon, team: Team, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The pocket line in miniature, each task in a container of the pipeline image."""
    home = new_home(tmp_path_factory.mktemp("line") / "home")
    variables = {name: value for name, value in team.environment().items() if name not in HERE_ALONE}
    variables["HAZARDLINE_HOME"] = str(home)
    return Line(run_pipelines(docker, "run", str(RECIPE), "--runner", "docker", **variables), home, team)
