"""All pipelines of all shipped recipes are what KFP's own schemas say, and nothing misspelt gets past these."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from google.protobuf.json_format import ParseError

from hazardline.errors import UserError
from hazardline.recipe import load_recipe
from tests.pipelines.cluster import RECIPES, ROOT, parsed, read_strictly, recipe_for, tasks_of, written

from pipelines.package import Which

PIPELINES: tuple[Which, ...] = get_args(Which)
"""What `python -m pipelines compile --pipeline` offers."""
ON_FOOTAGE = [name for name in RECIPES if load_recipe(ROOT / "recipes" / f"{name}.yaml").simulate is None]
"""New data come from footage alone: the others cannot be retrained."""
COMPILED = [(name, which) for which in PIPELINES for name in (ON_FOOTAGE if which == "retrain" else RECIPES)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Which], Path]:
    """Compiles a pipeline of a shipped recipe, once."""
    folder, paths = tmp_path_factory.mktemp("compiled"), dict[tuple[str, Which], Path]()

    def compiled(name: str, which: Which) -> Path:
        if (name, which) not in paths:
            paths[name, which] = written(recipe_for(name, which), which, folder / f"{name}-{which}.yaml").path
        return paths[name, which]

    return compiled


@pytest.mark.parametrize(("name", "which"), COMPILED)
def test_a_shipped_recipe_compiles_to_what_kfp_reads(
    package: Callable[[str, Which], Path], name: str, which: Which
) -> None:
    spec, pods = parsed(package(name, which))
    tasks = tasks_of(spec)
    assert {"export", "release", "device"} < set(tasks)
    assert set(pods) == {spec.components[task.component_ref.name].executor_label for task in tasks.values()}
    assert set(pods) == set(spec.deployment_spec["executors"])


@pytest.mark.parametrize("name", sorted(set(RECIPES) - set(ON_FOOTAGE)))
def test_a_recipe_on_simulated_clips_is_not_retrained(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: retrain: .*give ingest.root in place of a simulate section"):
        recipe_for(name, "retrain")


POD = ("platforms", "kubernetes", "deploymentSpec", "executors", "exec-evaluate")
MISSPELT: list[tuple[int, tuple[str | int, ...], str]] = [
    (0, ("defaultPipelinRoot",), "PipelineSpec"),
    (0, ("pipelineInfo", "displayNam"), "PipelineInfo"),
    (0, ("components", "comp-evaluate", "executorLable"), "ComponentSpec"),
    (0, ("root", "dag", "tasks", "evaluate", "retryPolcy"), "PipelineTaskSpec"),
    (0, ("root", "dag", "tasks", "evaluate", "cachingOptions", "enableCach"), "CachingOptions"),
    (0, ("deploymentSpec", "executors", "exec-evaluate", "container", "resources", "resourceMemoryLimt"), "Resource"),
    (0, ("deploymentSpec", "executors", "exec-evaluate", "contaner"), "ExecutorSpec"),
    (1, ("platforms", "kubernetes", "deploymentSpc"), "SinglePlatformSpec"),
    (1, (*POD, "activeDedlineSeconds"), "KubernetesExecutorConfig"),
    (1, (*POD, "nodeSelector", "lables"), "NodeSelector"),
    (1, (*POD, "tolerations", 0, "efect"), "Toleration"),
    (1, (*POD, "secretAsEnv", 0, "secretNam"), "SecretAsEnv"),
    (1, (*POD, "securityContext", "runAsUsr"), "SecurityContext"),
]
"""Document of the package, a field that is not there, and what KFP calls the message that has no such field."""


@pytest.fixture(scope="module")
def documents(package: Callable[[str, Which], Path]) -> list[Any]:
    return list(yaml.safe_load_all(package("crashchat_videollama3_7b", "line").read_text()))


@pytest.mark.parametrize(("document", "where", "message"), MISSPELT, ids=[str(where[-1]) for _, where, _ in MISSPELT])
def test_a_misspelt_field_is_refused_with_its_name(
    documents: list[Any], document: int, where: tuple[str | int, ...], message: str
) -> None:
    changed = copy.deepcopy(documents)
    node = changed[document]
    for part in where[:-1]:
        node = node[part]
    node[where[-1]] = {}
    with pytest.raises(ParseError, match=rf'{message}[A-Za-z]*" has no field named "{where[-1]}"'):
        read_strictly(*changed)
