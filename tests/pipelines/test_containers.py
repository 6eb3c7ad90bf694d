"""Runs in containers, as far as they can be tried without Docker; the rest is in tests/docker."""

import gc
import json
import os
from pathlib import Path
from typing import Any

import docker
import pytest
from kfp import dsl, local
from rich.console import Console

from hazardline.errors import UserError
from hazardline.recipe import Recipe, load_recipe

from pipelines import local_run
from pipelines.containers import RUN_LABEL, Containers
from pipelines.fine_tune import arguments_of, pipeline_for
from pipelines.local_run import Outcome, RunFolder, Work, line_of, new_run_folder, run_locally

RECIPE = Path(__file__).parents[2] / "recipes" / "crashchat_pocket_smoke.yaml"
USER = 10001


class FakeDocker:
    """What this module asks of Docker's client."""

    def __init__(self, images: tuple[str, ...] = ("here",)) -> None:
        self.known = images
        self.killed: list[dict[str, str]] = []
        self.images = self.containers = self

    def get(self, image: str) -> None:
        if image not in self.known:
            raise docker.errors.ImageNotFound(image)

    def list(self, filters: dict[str, str]) -> list[Any]:
        self.killed.append(filters)
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is not root's, also where root runs this."""
    path = tmp_path / "home"
    path.mkdir()
    if os.getuid() == 0:
        os.chown(path, USER, USER)
    monkeypatch.setenv("HAZARDLINE_HOME", str(path))
    monkeypatch.delenv("HAZARDLINE_DATASETS", raising=False)
    monkeypatch.delenv("HAZARDLINE_STORE", raising=False)
    return path


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    client = FakeDocker()
    monkeypatch.setattr(docker, "from_env", lambda: client)
    return client


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(RECIPE)


def test_a_container_gets_addresses_and_little_else(
    home: Path, client: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("HAZARDLINE_KFP_TOKEN", "canary")
    monkeypatch.setenv("SSH_AUTH_SOCK", "canary")
    footage, run_folder = tmp_path / "footage", home / "runs" / "r"
    footage.mkdir()
    run_folder.mkdir(parents=True)
    with Containers("here", (footage,)).runner("r", run_folder, {"HAZARDLINE_HOME": str(home)}) as runner:
        given = runner.container_run_args
    assert "canary" not in json.dumps(given["environment"])
    assert (
        given["environment"].items()
        >= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000", "HAZARDLINE_HOME": str(home)}.items()
    )
    assert {mount["Source"]: mount["Target"] for mount in given["mounts"]} == {
        str(folder): str(folder) for folder in (home, home / "store", home / "datasets", footage)
    }
    assert given["user"].split(":")[0] == str(home.stat().st_uid) != "0"
    assert given["read_only"] and given["cap_drop"] == ["ALL"] and given["security_opt"] == ["no-new-privileges"]
    assert run_folder.stat().st_uid == home.stat().st_uid
    assert client.killed == [{"label": f"{RUN_LABEL}=r"}], "what is left of a run is ended"


def test_every_task_runs_in_the_image(recipe: Recipe) -> None:
    spec = pipeline_for(recipe, Containers("here")).pipeline_spec
    images = {executor["container"]["image"] for executor in spec.deployment_spec["executors"].values()}
    assert images == {"here"}
    assert arguments_of(recipe)


def test_an_image_that_is_not_there_is_one_line(home: Path, client: FakeDocker) -> None:
    with (
        pytest.raises(UserError, match="--image absent: Docker has no such image; build it with `make images`"),
        Containers("absent").runner("r", home, {}),
    ):
        pass


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")
def test_docker_that_is_not_there_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/no.sock")
    with (
        pytest.raises(UserError, match=r"Docker cannot be reached .*DOCKER_HOST"),
        Containers("x").runner("r", home, {}),
    ):
        pass
    gc.collect()  # docker 7.2 leaves a socket open that could not be connected


def test_containers_never_run_as_root(home: Path, client: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() != 0:
        pytest.skip("takes root, to own a folder as root does")
    os.chown(home, 0, 0)
    with (
        pytest.raises(UserError, match="belongs to root, and containers do not run as root"),
        Containers("here").runner("r", home, {}),
    ):
        pass


def test_a_volume_that_is_not_there_is_refused(home: Path, client: FakeDocker) -> None:
    volumes = (home / "absent",)
    with (
        pytest.raises(UserError, match=r"--volume .*absent: no such folder"),
        Containers("here", volumes).runner("r", home, {}),
    ):
        pass


def outcome_of(
    said: list[dict[str, Any]], recipe: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch, error: str | None = None
) -> Outcome:
    """How a run ends whose stages say this, and of which KFP says that it succeeded, or this error."""

    def pretend(work: Work, folder: RunFolder, *more: Any) -> None:
        folder.events.write_text("".join(json.dumps({"time": 0.0, **event}) + "\n" for event in said))
        if error is not None:
            raise RuntimeError(error)

    monkeypatch.setattr(local_run, "_run_pipeline", pretend)
    with (home / "console").open("w") as console:
        return run_locally(line_of(recipe), new_run_folder(recipe, RECIPE), Console(file=console))


def test_a_container_that_died_unseen_fails_the_run(
    recipe: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KFP's Docker runner says success of a container that was removed before it could ask for its status."""
    outcome = outcome_of([{"stage": "simulate", "state": "started"}], recipe, home, monkeypatch)
    assert (outcome.status, outcome.failed_stage) == (1, "simulate")
    assert outcome.error == "the process was ended from outside (out of memory, or killed)"


def test_the_first_that_died_is_named_not_the_one_that_missed_it(
    recipe: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, Any]] = [
        {"stage": "simulate", "state": "started"},
        {"stage": "ingest", "state": "started"},
        {"stage": "ingest", "state": "failed", "error": "no record of simulate"},
    ]
    outcome = outcome_of(said, recipe, home, monkeypatch, "Pipeline failed")
    assert (outcome.status, outcome.failed_stage) == (1, "simulate")


def test_a_container_that_never_began_fails_the_run(
    recipe: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (None, "Docker: cannot start"):
        outcome = outcome_of([], recipe, home, monkeypatch, error)
        assert (outcome.status, outcome.failed_stage) == (1, "simulate")
        assert outcome.error == "it was ended before it began; see the log"


@dsl.component(base_image="python", install_kfp_package=False)
def leaves_nothing() -> str:
    """End well, before the output is written."""
    import os

    os._exit(0)


@dsl.component(base_image="python", install_kfp_package=False)
def reads(record: str) -> None:
    """Ask for the output."""


@dsl.pipeline(name="nothing-to-read")
def nothing_to_read() -> None:
    """What KFP makes of a container that is gone before it can be asked for its status."""
    reads(record=leaves_nothing().output)


def test_a_task_that_misses_what_a_lost_one_should_have_left_fails_the_run(recipe: Recipe, home: Path) -> None:
    work = Work(nothing_to_read, {}, ("simulate",), lambda records: ["simulate"])
    folder = new_run_folder(recipe, RECIPE)
    with (home / "console").open("w") as console:
        outcome = run_locally(work, folder, Console(file=console))
    assert (outcome.status, outcome.failed_stage) == (1, "simulate")
    assert "Tried to get output" in folder.log.read_text()


def test_what_a_stage_says_of_its_failure_stands(recipe: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = [
        {"stage": "simulate", "state": "started"},
        {"stage": "simulate", "state": "failed", "error": "no display"},
    ]
    outcome = outcome_of(said, recipe, home, monkeypatch, "Pipeline failed")
    assert (outcome.status, outcome.failed_stage, outcome.error) == (2, "simulate", "no display")


def test_processes_are_still_what_a_run_takes(recipe: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(local_run, "_run_pipeline", lambda work, folder, runner: seen.append(runner))
    with (home / "console").open("w") as console:
        run_locally(line_of(recipe), new_run_folder(recipe, RECIPE), Console(file=console))
    assert isinstance(seen[0], local.SubprocessRunner)
