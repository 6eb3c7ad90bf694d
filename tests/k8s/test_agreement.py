"""What the pipeline and its RayJobs are told to use is what the manifests bring."""

from collections.abc import Mapping

import pytest

from hazardline.rayjob.config import RayJobConfig
from hazardline.rayjob.manifest import ray_job
from k8s.check import Object
from tests.k8s.objects import amount, documented_secrets, get, names

from components.cluster import RESOURCES_PATH, SecretVariables, read_resources

GPU_PRODUCT = "nvidia.com/gpu.product"
IMAGE = f"registry.test/train@sha256:{'3' * 64}"


@pytest.fixture(params=["defaults", "table"])
def config(request: pytest.FixtureRequest) -> RayJobConfig:
    """The settings of a RayJob: as they are by themselves, and as the compiled pipeline gives them."""
    return RayJobConfig(image=IMAGE) if request.param == "defaults" else read_resources().rayjob("train", IMAGE)


def test_rayjobs_find_what_they_name(production: list[Object], config: RayJobConfig) -> None:
    assert config.namespace in names(production, "Namespace")
    assert config.service_account in names(production, "ServiceAccount")
    assert config.queue in names(production, "LocalQueue")
    for ref in config.config_map_env.values():
        assert ref.key in get(production, "ConfigMap", ref.name)["data"]
    for ref in config.secret_env.values():
        assert ref.key in documented_secrets()[ref.name]
    tolerated = {toleration.key for toleration in config.tolerations if toleration.operator == "Exists"}
    for flavor in (item for item in production if item["kind"] == "ResourceFlavor"):
        assert {taint["key"] for taint in flavor["spec"].get("nodeTaints", [])} <= tolerated


def test_tasks_find_what_they_name(production: list[Object]) -> None:
    resources = read_resources()
    assert resources.namespace in names(production, "Namespace")
    assert resources.service_account in names(production, "ServiceAccount")
    settings = get(production, "ConfigMap", resources.settings.name)["data"]
    assert {*resources.settings.required, *resources.settings.optional} <= set(settings)
    documented = documented_secrets()
    for secret in resources.secrets.values():
        assert documented[secret.name] == (set(secret.keys) if isinstance(secret, SecretVariables) else set())
    for pool_name, pool in resources.pools.items():
        assert get(production, "ResourceFlavor", pool_name)["spec"]["nodeLabels"] == pool.node_selector


@pytest.mark.parametrize("overlay_name", ["staging", "production"])
def test_a_training_of_the_shipped_table_is_admitted(rendered: dict[str, list[Object]], overlay_name: str) -> None:
    """Without anything borrowed. The pods of a job need all that they ask for at once."""
    resources = read_resources()
    work = resources.rayjobs["train"]
    spec = ray_job(resources.rayjob("train", IMAGE), "train", "job", "s3://b/x", {}, {})["spec"]
    assert "workerGroupSpecs" not in spec["rayClusterSpec"], "count its workers here"
    asked = [
        template["spec"]["containers"][0]["resources"]["requests"]
        for template in (spec["rayClusterSpec"]["headGroupSpec"]["template"], spec["submitterPodTemplate"])
    ]
    groups = get(rendered[overlay_name], "ClusterQueue", "hazardline")["spec"]["resourceGroups"]
    quotas = {
        (flavor["name"], quota["name"]): amount(quota["nominalQuota"])
        for group in groups for flavor in group["flavors"] for quota in flavor["resources"]
    }  # fmt: skip
    for resource, flavor in (("cpu", "any-node"), ("memory", "any-node"), ("nvidia.com/gpu", work.pool)):
        wanted = sum(amount(requests.get(resource, "0")) for requests in asked)
        assert 0 < wanted <= quotas[flavor, resource]


@pytest.mark.parametrize("overlay_name", ["staging", "production"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_pod_of_a_training_finds_a_machine(
    rendered: dict[str, list[Object]], overlay_name: str, num_workers: int
) -> None:
    """By Kueue's rules: a flavour for each group of resources that a pod asks for, whose labels the pod then gets."""
    objects = rendered[overlay_name]
    table = read_resources()
    if num_workers:
        work = table.rayjobs["train"]
        head = {"cpu": "4", "memory": "16Gi"}
        changed = work.model_copy(update={"settings": {**work.settings, "head": head, "num_workers": num_workers}})
        table = table.model_copy(update={"rayjobs": {"train": changed}})
    spec = ray_job(table.rayjob("train", IMAGE), "train", "job", "s3://b/x", {}, {})["spec"]
    cluster = spec["rayClusterSpec"]
    templates = [
        cluster["headGroupSpec"]["template"],
        *(group["template"] for group in cluster.get("workerGroupSpecs", [])),
        spec["submitterPodTemplate"],
    ]
    machines = [item["spec"] for item in objects if item["kind"] == "ResourceFlavor"]
    found = []
    for pod in (template["spec"] for template in templates):
        selector = dict(pod.get("nodeSelector", {}))
        asked = pod["containers"][0]["resources"]["requests"]
        for group in get(objects, "ClusterQueue", "hazardline")["spec"]["resourceGroups"]:
            if set(group["coveredResources"]) & set(asked):
                flavours = [get(objects, "ResourceFlavor", flavour["name"])["spec"] for flavour in group["flavors"]]
                known = {label for flavour in flavours for label in flavour.get("nodeLabels", {})}
                wanted = {label: value for label, value in selector.items() if label in known}  # Kueue heeds no others
                given = next(flavour for flavour in flavours if _takes(flavour, pod, wanted))
                selector |= given.get("nodeLabels", {})
        assert any(_takes(machine, pod, selector) for machine in machines)
        products = {
            machine.get("nodeLabels", {}).get(GPU_PRODUCT) for machine in machines if _takes(machine, pod, selector)
        }
        found.append((asked.get("nvidia.com/gpu"), products))
    sent, elsewhere = {"NVIDIA-A100-SXM4-80GB"}, {None}
    if num_workers:
        assert found == [(None, elsewhere), ("1", sent), (None, elsewhere)]
    else:
        assert found == [("2", sent), (None, elsewhere)]


def test_tasks_of_a_trial_fit_its_namespace_and_its_machine(rendered: dict[str, list[Object]]) -> None:
    """One at a time, beside MLflow and what stands for S3 and PostgreSQL, on four processors and 16 GB."""
    table = read_resources(RESOURCES_PATH.with_name("resources.local.yaml"))
    hard = get(rendered["local"], "ResourceQuota", "namespace")["spec"]["hard"]
    for name, task in table.tasks.items():
        assert task.gpus == 0 and amount(task.cpu_limit) <= 4, name
        assert amount(task.memory_limit) <= 8 * 2**30, name
        assert amount(task.cpu) <= amount(hard["requests.cpu"]) / 4, name
        assert amount(task.memory) <= amount(hard["requests.memory"]) / 4, name


def _takes(machine: Object, pod: Object, selector: Mapping[str, str]) -> bool:
    """Whether a machine with a flavour's labels and taints takes a pod with a selector."""
    labels = machine.get("nodeLabels", {})
    borne = {toleration["key"] for toleration in pod.get("tolerations", []) if toleration["operator"] == "Exists"}
    is_wanted = all(labels.get(key) == value for key, value in selector.items())
    return is_wanted and {taint["key"] for taint in machine.get("nodeTaints", [])} <= borne


def test_amounts_are_read_as_kubernetes_writes_them() -> None:
    assert [amount(text) for text in ("2", "500m", "3Gi", "1Ti")] == [2, 0.5, 3 * 2**30, 2**40]
