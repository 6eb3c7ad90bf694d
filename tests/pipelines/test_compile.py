"""The compiled pipeline: what a Kubeflow user interface would take."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from hazardline.recipe import Recipe, load_recipe
from hazardline.stages import STAGES

from components.images import PIPELINE
from pipelines.package import pipeline_version, write_package

ROOT = Path(__file__).parents[2]
CONDITION = "condition-gate-is-open-1"


@pytest.fixture(scope="module", params=["crashchat_pocket", "nexar_pocket"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(ROOT / "recipes" / f"{request.param}.yaml")


@pytest.fixture(scope="module")
def spec(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The compiled file, parsed with KFP's own schema, which refuses unknown fields."""
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    write_package(recipe, path)
    assert [child.name for child in path.parent.iterdir()] == [path.name]
    document, *platform = yaml.safe_load_all(path.read_text())
    assert platform == []
    return json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())


def tasks_of(spec: Any) -> dict[str, Any]:
    """All tasks, those behind the gate too."""
    outer = dict(spec.root.dag.tasks)
    (condition,) = [name for name in outer if name.startswith("condition")]
    inner = dict(spec.components[outer[condition].component_ref.name].dag.tasks)
    return {name: task for name, task in {**outer, **inner}.items() if name != condition}


def test_every_stage_is_a_task(spec: Any, recipe: Recipe) -> None:
    assert set(tasks_of(spec)) == {stage.name for stage in recipe.stages()}
    assert len(recipe.stages()) == len(STAGES) - (recipe.name == "nexar_pocket")


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
    assert [name for name, task in tasks_of(spec).items() if task.caching_options.enable_cache] == []


def test_every_task_runs_in_the_pinned_image_and_installs_nothing(spec: Any) -> None:
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    for executor in executors.values():
        assert executor["container"]["image"] == PIPELINE
        assert "pip install" not in " ".join(executor["container"]["command"])
    assert "@sha256:" in PIPELINE
