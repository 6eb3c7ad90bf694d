"""Starting a run on an endpoint, and what is said when that fails: against a stub of the API on this machine."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.recipe import Recipe, load_recipe
from tests.pipelines.stub_server import StubServer, stub_server

from pipelines.submission import submit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[StubServer]:
    with stub_server() as stub:
        yield stub


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(ROOT / "recipes" / "crashchat_pocket_smoke.yaml")


@pytest.fixture(autouse=True)
def no_remembered_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KFP's client keeps a namespace in the user's home; these tests neither read nor write it."""
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "kfp" / "context.json"))


def test_a_run_is_started_with_the_recipe_inside(server: StubServer, recipe: Recipe, tmp_path: Path) -> None:
    server.token = "secret"
    made = submit(recipe, server.url, "tests", "kubeflow", "secret", tmp_path)
    assert made.run_id == "r-1"
    assert made.url == f"{server.url}/#/runs/details/r-1"
    (body,) = server.runs
    assert body["experiment_id"] == "e-1"
    spec = body["pipeline_spec"]
    spec = spec.get("pipeline_spec", spec)
    assert spec["pipelineInfo"]["name"] == "hazardline-crashchat-pocket-smoke"
    defaults = spec["root"]["inputDefinitions"]["parameters"]
    assert defaults["train_section"]["defaultValue"] == recipe.section_json("train")


def test_an_unreachable_endpoint_is_one_line(recipe: Recipe, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=r"\Ahttp[^\n]+cannot be reached[^\n]+check the address[^\n]+\Z"):
            submit(recipe, host, "tests", "kubeflow", None, tmp_path)


@pytest.mark.parametrize("token", [None, "stale"])
def test_a_refused_token_is_named(server: StubServer, recipe: Recipe, tmp_path: Path, token: str | None) -> None:
    server.token = "fresh"
    with pytest.raises(UserError, match=r"status 401.*HAZARDLINE_KFP_TOKEN"):
        submit(recipe, server.url, "tests", "kubeflow", token, tmp_path)


def test_a_token_that_expires_on_the_way_is_named(server: StubServer, recipe: Recipe, tmp_path: Path) -> None:
    server.forgets_token_after_health = True
    with pytest.raises(UserError, match=r"status 401.*HAZARDLINE_KFP_TOKEN"):
        submit(recipe, server.url, "tests", "kubeflow", "secret", tmp_path)
    assert server.runs == []


def test_another_kind_of_server_is_told_from_kubeflow(server: StubServer, recipe: Recipe, tmp_path: Path) -> None:
    server.is_kubeflow = False
    with pytest.raises(UserError, match="expected the health of a Kubeflow Pipelines API"):
        submit(recipe, server.url, "tests", "kubeflow", None, tmp_path)
    with pytest.raises(UserError, match="expected an address with http"):
        submit(recipe, "kubeflow.example", "tests", "kubeflow", None, tmp_path)
