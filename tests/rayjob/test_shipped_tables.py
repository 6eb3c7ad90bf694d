"""The RayJobs of shipped recipes by the shipped tables of resources, as compiled pipelines ask for them."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hazardline.environment import RAYJOB
from hazardline.files import digest_json
from hazardline.rayjob.config import RayJobConfig
from hazardline.rayjob.manifest import ATTEMPT, DIGEST, OWNER, job_name, passed_on, ray_job
from tests.pipelines.cluster import RECIPES, compiled, recipe_for
from tests.rayjob.conftest import Place
from tests.rayjob.crd import Faults, broken_rules

from components.cluster import RESOURCES_PATH, ClusterResources, read_resources

TABLES = sorted(path.name for path in RESOURCES_PATH.parent.glob("resources*.yaml"))
ENVIRON = {"MLFLOW_RUN_ID": "run-7", "MLFLOW_EXPERIMENT_ID": "3", "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
"""What KFP gives the task's pod, beside what the table gives."""


@pytest.fixture(scope="module", params=TABLES)
def table(request: pytest.FixtureRequest) -> ClusterResources:
    return read_resources(RESOURCES_PATH.with_name(request.param))


@pytest.fixture(scope="module", params=RECIPES)
def asked(request: pytest.FixtureRequest, table: ClusterResources, tmp_path_factory: Any) -> dict[str, str]:
    """`HAZARDLINE_RAYJOB` of each task that has it."""
    package = compiled(request.param, tmp_path_factory.mktemp("compiled"), table)
    executors = next(yaml.safe_load_all(package.path.read_text()))["deploymentSpec"]["executors"]
    return {
        name.removeprefix("exec-"): item["value"]
        for name, executor in executors.items()
        for item in executor["container"].get("env", [])
        if item["name"] == RAYJOB
    }


def job_of(task: str, settings: str) -> dict[str, Any]:
    """The RayJob that the component of a task makes of what the compiled pipeline tells it."""
    config = RayJobConfig.parse_json(settings, RAYJOB)
    passed, withheld = passed_on({**ENVIRON, RAYJOB: settings}, config)
    assert withheld == []
    name = job_name(task, digest_json(settings))
    annotations = {DIGEST: digest_json(settings), OWNER: "pod-1", ATTEMPT: "12345678"}
    return ray_job(config, task, name, f"s3://bucket/mirror/rayjobs/{name}/12345678", annotations, passed)


def test_the_tables_jobs_are_what_the_crd_says(
    crd_faults: Faults, asked: dict[str, str], table: ClusterResources
) -> None:
    assert set(asked) == set(table.rayjobs)
    assert [fault for task, settings in asked.items() for fault in crd_faults(job_of(task, settings))] == []


def test_kuberay_and_kueue_take_the_tables_jobs(asked: dict[str, str], table: ClusterResources) -> None:
    assert set(asked) == set(table.rayjobs)
    for task, settings in asked.items():
        job = job_of(task, settings)
        assert broken_rules(job) == []
        wrong = copy.deepcopy(job)
        wrong["spec"]["suspend"] = True
        assert broken_rules(wrong) == ["spec: suspend is set by Kueue alone"]


def test_the_a100_table_has_a_job_and_the_table_for_trials_has_none() -> None:
    rayjobs = {name: list(read_resources(RESOURCES_PATH.with_name(name)).rayjobs) for name in TABLES}
    assert rayjobs == {"resources.yaml": ["train"], "resources.local.yaml": []}


def test_the_component_has_the_tables_job_made(place: Place, tmp_path: Path) -> None:
    """By all of its code, of an API that holds jobs against the CRD where that is at hand."""
    recipe = recipe_for("crashchat_videollama3_7b", "line")
    executors = next(yaml.safe_load_all(compiled(recipe, tmp_path).path.read_text()))["deploymentSpec"]["executors"]
    (told,) = [item["value"] for item in executors["exec-train"]["container"]["env"] if item["name"] == RAYJOB]
    place.settings = RayJobConfig.parse_json(told, RAYJOB).data()
    place.section = recipe.section_json("train")
    assert place.run().summary == {"steps": 10}
    (created,) = place.fake.created
    (head,) = created["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["resources"]["limits"]["nvidia.com/gpu"] == "2"
    place.check_removed()
