"""The compiled pipeline: what a Kubeflow user interface would take."""

import json
from pathlib import Path
from typing import Any

import pytest

from hazardline.recipe import Recipe, load_recipe
from hazardline.stages import STAGES
from tests.pipelines.cluster import RECIPES, ROOT, compiled, parsed, tasks_of

from pipelines.package import pipeline_version


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(ROOT / "recipes" / f"{request.param}.yaml")


@pytest.fixture(scope="module")
def spec(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The compiled file, parsed with KFP's own schema, which refuses unknown fields."""
    path = compiled(recipe, tmp_path_factory.mktemp("compiled")).path
    assert [child.name for child in path.parent.iterdir()] == [path.name]
    return parsed(path)[0]


def test_every_stage_is_a_task(spec: Any, recipe: Recipe) -> None:
    assert set(tasks_of(spec)) == {stage.name for stage in recipe.stages()}
    assert len(recipe.stages()) == len(STAGES) - (recipe.simulate is None)


def test_name_and_version_are_the_recipes(spec: Any, recipe: Recipe) -> None:
    assert spec.pipeline_info.name == f"hazardline-{recipe.name.replace('_', '-')}"
    assert spec.pipeline_info.display_name.endswith(pipeline_version(recipe))
    other = recipe.model_copy(update={"purpose": "Another."})
    assert pipeline_version(other) != pipeline_version(recipe)


def test_each_section_is_one_json_string_of_its_own(spec: Any, recipe: Recipe) -> None:
    parameters = spec.root.input_definitions.parameters
    for stage in recipe.stages():
        section = json.loads(parameters[f"{stage.name}_section"].default_value.string_value)
        assert stage.config_class().parse(section, stage.name) is not None
    assert parameters["model_name"].default_value.string_value == recipe.register_.model_name


def test_tasks_behind_the_gate_wait_for_a_plain_string(spec: Any) -> None:
    (condition,) = [task for name, task in spec.root.dag.tasks.items() if name.startswith("condition")]
    assert condition.trigger_policy.condition == "inputs.parameter_values['pipelinechannel--gate-Output'] == 'open'"
    inner = spec.components[condition.component_ref.name].dag.tasks
    assert set(inner) == {"export", "release", "device"}


def test_no_task_is_cached_by_kfp(spec: Any) -> None:
    """The store's key sees the library and the data, KFP's does not: see `test_caching.py`."""
    assert [name for name, task in tasks_of(spec).items() if task.caching_options.enable_cache] == []


def test_the_user_interface_is_given_more_than_records(spec: Any) -> None:
    shown = {
        name: {artifact.artifact_type.schema_title for artifact in component.output_definitions.artifacts.values()}
        for name, component in spec.components.items()
    }
    assert shown["comp-evaluate"] == {
        "system.Artifact",
        "system.HTML",
        "system.Markdown",
        "system.Metrics",
        "system.ClassificationMetrics",
    }
    assert shown["comp-gate"] == {"system.Artifact", "system.Markdown", "system.Metrics"}
    for name in ("split", "release", "device"):
        assert "system.Markdown" in shown[f"comp-{name}"]


def test_a_version_is_of_everything_that_is_in_the_file(tmp_path: Path) -> None:
    from components.cluster import read_resources

    recipe = load_recipe(ROOT / "recipes" / "nexar_pocket.yaml")
    (tmp_path / "again").mkdir()
    table = read_resources()
    tasks = {**table.tasks, "gate": table.tasks["gate"].model_copy(update={"cpu": "250m"})}
    versions = [
        compiled(recipe, tmp_path).version,
        compiled(recipe, tmp_path / "again").version,
        compiled(recipe, tmp_path, table.model_copy(update={"tasks": tasks})).version,
    ]
    assert versions[0] == versions[1] != versions[2]
    assert all(version.startswith(pipeline_version(recipe)) for version in versions)
