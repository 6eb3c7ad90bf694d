"""What tests of the cluster's side share: made-up digests, and pipelines compiled with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from hazardline.recipe import Recipe, load_recipe

from components.cluster import ClusterResources, read_resources
from components.image_lock import read_lock, references
from pipelines.package import Package, write_package
from pipelines.placement import OnCluster

ROOT = Path(__file__).parents[2]
REGISTRY = "registry.example/vision"


def made_up_digests() -> dict[str, str]:
    """A digest for every image of the lock file, by name."""
    return {name: f"sha256:{number:064x}" for number, name in enumerate(sorted(read_lock().images), start=1)}


def place(resources: ClusterResources | None = None) -> OnCluster:
    """The place of tasks with made-up digests."""
    table = resources or read_resources()
    wanted = {task.image for task in table.tasks.values()}
    return OnCluster(table, references(wanted, read_lock(), "lock", made_up_digests(), REGISTRY))


def compiled(recipe: Recipe | str, folder: Path, resources: ClusterResources | None = None) -> Package:
    """A package of a recipe, or of a shipped one by its name."""
    found = load_recipe(ROOT / "recipes" / f"{recipe}.yaml") if isinstance(recipe, str) else recipe
    return write_package(found, folder / f"{found.name}.yaml", place(resources))


def parsed(path: Path) -> tuple[Any, dict[str, Any]]:
    """A package with KFP's own schemas, which refuse unknown fields: the pipeline, and each executor's pod."""
    spec, platform = yaml.safe_load_all(path.read_text())
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
