"""What tests of the cluster's side share: made-up digests, and pipelines compiled with them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from hazardline.recipe import Recipe, load_recipe

from components.cluster import ClusterResources, read_resources
from components.image_lock import read_lock, references
from pipelines.package import WRITE, Package, Which
from pipelines.placement import OnCluster

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
REGISTRY = "registry.example/vision"


def made_up_digests() -> dict[str, str]:
    """A digest for every image of the lock file, by name."""
    return {name: f"sha256:{number:064x}" for number, name in enumerate(sorted(read_lock().images), start=1)}


def place(resources: ClusterResources | None = None) -> OnCluster:
    """The place of tasks with made-up digests."""
    table = resources or read_resources()
    return OnCluster(table, references(table.image_names(), read_lock(), "lock", made_up_digests(), REGISTRY))


def recipe_for(name: str, which: Which) -> Recipe:
    """A shipped recipe for one of its pipelines; none of them is retrained, so one that is to be gets the section here.

    Raises:
        UserError: it runs on simulated clips, and is to be retrained.
    """
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    if which != "retrain":
        return recipe
    data = recipe.data()
    section = {"dataset": name, "notify": {"url": "https://hooks.example/fleet"}}
    return Recipe.parse({**data, "ingest": {**data["ingest"], "dataset": name}, "retrain": section}, name)


def compiled(recipe: Recipe | str, folder: Path, resources: ClusterResources | None = None) -> Package:
    """A package of a recipe's line, or of a shipped recipe's by its name."""
    found = recipe_for(recipe, "line") if isinstance(recipe, str) else recipe
    return written(found, "line", folder / f"{found.name}.yaml", resources)


def written(recipe: Recipe, which: Which, path: Path, resources: ClusterResources | None = None) -> Package:
    """A package of one of a recipe's pipelines.

    KFP looks through the whole stack at each setting of a task: in pytest's that takes seconds, in a thread's nothing.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(WRITE[which], recipe, path, place(resources)).result()


def parsed(path: Path) -> tuple[Any, dict[str, Any]]:
    """A package as `read_strictly` has it."""
    spec, platform = yaml.safe_load_all(path.read_text())
    return read_strictly(spec, platform)


def read_strictly(spec: Any, platform: Any) -> tuple[Any, dict[str, Any]]:
    """A package's two documents with KFP's own schemas: the pipeline, and each executor's pod.

    To the pipeline's schema its executors are a mapping of anything; they have a schema of their own.

    Raises:
        json_format.ParseError: a field is unknown, or of another type.
    """
    json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    assert set(platform["platforms"]) == {"kubernetes"}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    pods = {
        name: json_format.ParseDict(found, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
        for name, found in executors.items()
    }
    return json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec()), pods


def tasks_of(spec: Any) -> dict[str, Any]:
    """All tasks of a pipeline that run in a pod, those behind conditions too."""
    return dict(_tasks(spec, spec.root))


def _tasks(spec: Any, component: Any) -> Iterator[tuple[str, Any]]:
    for name, task in component.dag.tasks.items():
        inner = spec.components[task.component_ref.name]
        if inner.HasField("dag"):
            yield from _tasks(spec, inner)
        else:
            yield name, task
