"""The retraining pipeline as a cluster gets it, and what a recipe must say for it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hazardline.errors import UserError
from hazardline.newdata.config import NewdataConfig
from hazardline.notify.config import NoticeConfig
from hazardline.recipe import Recipe, load_recipe
from hazardline.stages import RETRAINING
from tests.pipelines.cluster import ROOT, parsed, place, tasks_of
from tests.retrain.world import SECRET, World

from pipelines.package import Package, write_package, write_retraining_package
from pipelines.retrain import retraining_arguments

URL = "https://hooks.example/fleet"


def recipe_of(folder: Path, **changes: Any) -> Recipe:
    world = World(folder, URL)
    for name, section in changes.items():
        world.data[name] = {**(world.data.get(name) or {}), **section} if name == "register" else section
    world.recipe.write_text(yaml.safe_dump(world.data))
    return load_recipe(world.recipe)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return recipe_of(tmp_path_factory.mktemp("recipe") / "team")


@pytest.fixture(scope="module")
def package(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Package:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAZARDLINE_WEBHOOK_SECRET", SECRET)
        return write_retraining_package(recipe, tmp_path_factory.mktemp("package") / "retrain.yaml", place())


@pytest.fixture(scope="module")
def spec(package: Package) -> Any:
    return parsed(package.path)[0]


def test_it_is_the_line_and_what_retraining_has_beside_it(spec: Any, recipe: Recipe) -> None:
    tasks = tasks_of(spec)
    line = {stage.name for stage in (*recipe.stages(), *RETRAINING)}
    assert set(tasks) == line | {"conclude", "conclude-2", "notify"}
    assert [name for name, task in tasks.items() if task.caching_options.enable_cache] == []


def test_the_notice_is_an_exit_handler(spec: Any) -> None:
    outer = spec.root.dag.tasks
    assert set(outer) == {"exit-handler-1", "notify"}
    assert outer["notify"].trigger_policy.strategy == outer["notify"].trigger_policy.ALL_UPSTREAM_TASKS_COMPLETED
    inputs = outer["notify"].inputs.parameters
    assert inputs["status"].task_final_status.producer_task == "exit-handler-1"
    assert inputs["run_id"].runtime_value.constant.string_value == "{{$.pipeline_job_uuid}}"


def test_nothing_but_the_decision_lets_the_line_begin(spec: Any) -> None:
    inner = spec.components[spec.root.dag.tasks["exit-handler-1"].component_ref.name].dag.tasks
    conditions = {
        task.trigger_policy.condition.rpartition("== ")[2]: spec.components[task.component_ref.name].dag.tasks
        for name, task in inner.items()
        if name.startswith("condition")
    }
    assert set(inner) - {name for name in inner if name.startswith("condition")} == {"ingest", "newdata"}
    assert set(conditions["'stop'"]) == {"conclude-2"}
    assert {"split", "train", "evaluate", "reevaluate", "gate", "register", "conclude"} < set(conditions["'train'"])
    champion = conditions["'train'"]["gate"].inputs.artifacts["champion"].task_output_artifact
    assert champion.producer_task == "reevaluate"


def test_only_the_notice_has_the_secret_and_by_reference(package: Package) -> None:
    assert SECRET not in package.path.read_text() and "HAZARDLINE_WEBHOOK_SECRET" in package.path.read_text()
    pods = parsed(package.path)[1]
    holders = {
        name: item.optional
        for name, pod in pods.items()
        for item in pod.secret_as_env
        if item.secret_name == "hazardline-webhook"
    }
    assert holders == {"exec-notify": True}, "a pod that needs no Secret must not wait for one"


def test_it_is_another_pipeline_than_the_line(package: Package, recipe: Recipe, tmp_path: Path) -> None:
    line = write_package(recipe, tmp_path / "line.yaml", place())
    assert (line.name, package.name) == ("hazardline-tiny", "hazardline-tiny-retrain")


def test_every_task_is_given_its_part_of_the_recipe(recipe: Recipe) -> None:
    arguments = retraining_arguments(recipe)
    assert recipe.retrain is not None
    newdata = NewdataConfig.parse_json(arguments["newdata_section"], "test")
    assert (newdata.dataset, newdata.trigger) == ("fleet", recipe.retrain.trigger)
    assert NoticeConfig.parse_json(arguments["notify_section"], "test").url == URL
    assert json.loads(arguments["register_section"])["approval"] == recipe.retrain.approval


def test_approval_is_what_the_section_says(tmp_path: Path) -> None:
    section = {"dataset": "fleet"}
    arguments = retraining_arguments(recipe_of(tmp_path / "team", retrain=section))
    assert json.loads(arguments["register_section"])["approval"] == "manual", "nobody is promoted unasked by default"


def test_a_gate_that_does_not_compare_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: gate_policy@1\nname: blind@1\nrules:\n  - {kind: test_clips, minimum: 1}\n")
    with pytest.raises(UserError, match="blind@1 has no rule of kind no_regression"):
        retraining_arguments(recipe_of(tmp_path / "team", gate={"policy": str(policy)}))


def test_a_recipe_without_the_section_is_refused() -> None:
    with pytest.raises(UserError, match="no section retrain"):
        retraining_arguments(load_recipe(ROOT / "recipes" / "nexar_pocket.yaml"))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"ingest": {"root": "/footage"}}, "give both the same name"),
        ({"retrain": {"dataset": "other"}}, "give both the same name"),
        ({"retrain": {"dataset": "fleet", "tresholds": {}}}, "retrain.tresholds: unknown key"),
        ({"retrain": {}}, "retrain.dataset: missing"),
        ({"register": {"model_name": "m", "promote": False}}, "register.promote is false"),
        ({"ingest": {"dataset": "fleet"}, "simulate": {}}, "give ingest.root in place of a simulate section"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        recipe_of(tmp_path / "team", **changes)


def test_recipes_without_the_section_have_the_digests_that_they_had() -> None:
    recipe = load_recipe(ROOT / "recipes" / "nexar_pocket.yaml")
    assert "retrain" not in recipe.data()
