"""What the pipeline and its RayJobs are told to use is what the manifests bring."""

from typing import Any

import pytest

from k8s.check import Object
from tests.k8s.objects import get, names


def test_rayjobs_find_what_they_name(production: list[Object]) -> None:
    module: Any = pytest.importorskip("hazardline.rayjob.config", reason="hazardline.rayjob is not in this copy")
    config = module.RayJobConfig(image=f"registry.test/train@sha256:{'3' * 64}")
    assert config.namespace in names(production, "Namespace")
    assert config.service_account in names(production, "ServiceAccount")
    assert config.queue in names(production, "LocalQueue")
    for ref in config.config_map_env.values():
        assert ref.key in get(production, "ConfigMap", ref.name)["data"]
    tolerated = {toleration.key for toleration in config.tolerations if toleration.operator == "Exists"}
    for flavor in (item for item in production if item["kind"] == "ResourceFlavor"):
        assert {taint["key"] for taint in flavor["spec"].get("nodeTaints", [])} <= tolerated


def test_tasks_find_what_they_name(production: list[Object]) -> None:
    module: Any = pytest.importorskip("components.cluster", reason="components.cluster is not in this copy")
    resources = module.read_resources()
    assert resources.namespace in names(production, "Namespace")
    assert resources.service_account in names(production, "ServiceAccount")
    settings = get(production, "ConfigMap", resources.settings.name)["data"]
    assert {*resources.settings.required, *resources.settings.optional} <= set(settings)
    for pool_name, pool in resources.pools.items():
        assert get(production, "ResourceFlavor", pool_name)["spec"]["nodeLabels"] == pool.node_selector
