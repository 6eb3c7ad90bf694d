"""The table of resources and the lock of images: read strictly, and found again in every compiled task."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hazardline.environment import RAYJOB, SIGNING_KEYS
from hazardline.errors import UserError
from hazardline.rayjob.config import RayJobConfig
from hazardline.stages import RETRAINING, STAGES
from tests.pipelines.cluster import REGISTRY, compiled, made_up_digests, parsed, tasks_of

from components.cluster import RESOURCES_PATH, ClusterResources, SecretFiles, read_resources, size_bytes
from components.image_lock import LOCK_PATH, parse_digests, read_lock, references

RECIPES = ("crashchat_pocket", "nexar_pocket")
CANARY = "canary-4711"


@pytest.fixture(scope="module")
def table() -> ClusterResources:
    return read_resources()


@pytest.fixture(scope="module", params=RECIPES)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled where the environment holds secrets, none of which may be found again."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "HAZARDLINE_KFP_TOKEN"):
            patch.setenv(name, CANARY)
        patch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{CANARY}@mlflow:5000")
        return compiled(request.param, tmp_path_factory.mktemp("compiled")).path


@pytest.fixture(scope="module")
def pods(package: Path) -> dict[str, Any]:
    return parsed(package)[1]


@pytest.fixture(scope="module")
def containers(package: Path) -> dict[str, Any]:
    spec = next(yaml.safe_load_all(package.read_text()))
    return {name.removeprefix("exec-"): item["container"] for name, item in spec["deploymentSpec"]["executors"].items()}


def test_every_task_asks_for_what_the_table_says(containers: dict[str, Any], table: ClusterResources) -> None:
    for name, container in containers.items():
        wanted, asked = table.tasks[name], container["resources"]
        assert (asked["resourceCpuRequest"], asked["resourceCpuLimit"]) == (wanted.cpu, wanted.cpu_limit)
        assert (asked["resourceMemoryRequest"], asked["resourceMemoryLimit"]) == (wanted.memory, wanted.memory_limit)
        gpus = asked.get("accelerator", {"resourceCount": "0"})
        assert int(gpus["resourceCount"]) == wanted.gpus
        if wanted.pool is not None:
            assert gpus["resourceType"] == table.pools[wanted.pool].resource


def test_images_are_named_by_the_locks_digest_and_install_nothing(
    containers: dict[str, Any], table: ClusterResources
) -> None:
    digests = made_up_digests()
    for name, container in containers.items():
        image = table.tasks[name].image
        assert container["image"] == f"{REGISTRY}/{image}@{digests[image]}"
        assert "pip install" not in " ".join(container["command"])


def test_nothing_compiled_names_a_tag(package: Path) -> None:
    images = re.findall(r"^ *image: *(.+)$", package.read_text(), re.MULTILINE)
    assert images and all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images)


def test_every_pod_has_its_folders_and_nothing_else_to_write_to(pods: dict[str, Any], table: ClusterResources) -> None:
    for name, pod in pods.items():
        wanted = table.tasks[name.removeprefix("exec-")]
        folders = {item.mount_path: (item.medium, item.size_limit) for item in pod.empty_dir_mounts}
        shm = {"/dev/shm": ("Memory", wanted.shm)} if wanted.shm else {}
        assert folders == {table.home: ("", wanted.home), "/tmp": ("", wanted.tmp), **shm}
        assert (pod.security_context.run_as_user, pod.security_context.run_as_group) == (10001, 10001)
        assert pod.security_context.run_as_non_root


def test_tasks_with_gpus_go_to_their_pool_and_others_do_not(pods: dict[str, Any], table: ClusterResources) -> None:
    for name, pod in pods.items():
        wanted = table.tasks[name.removeprefix("exec-")]
        pool = table.pools[wanted.pool] if wanted.pool else None
        assert dict(pod.node_selector.labels) == (pool.node_selector if pool else {})
        assert [(item.key, item.operator, item.effect) for item in pod.tolerations] == (
            [(item.key, item.operator, item.effect) for item in pool.tolerations] if pool else []
        )
    assert table.tasks["evaluate"].pool == "a100-40gb"


def test_pods_are_labelled_and_end_in_time(pods: dict[str, Any], table: ClusterResources) -> None:
    for name, pod in pods.items():
        stage = name.removeprefix("exec-")
        labels = {"app.kubernetes.io/part-of": "hazardline", "app.kubernetes.io/component": stage}
        assert dict(pod.pod_metadata.labels) == labels
        assert pod.active_deadline_seconds == table.tasks[stage].timeout_s


def test_failed_tasks_are_tried_again_after_growing_pauses(package: Path, table: ClusterResources) -> None:
    for name, task in tasks_of(parsed(package)[0]).items():
        wanted, policy = table.tasks[name].retries, task.retry_policy
        assert (policy.max_retry_count, policy.backoff_factor) == (wanted.count, wanted.factor)
        assert policy.backoff_duration.seconds == wanted.wait_s
        assert policy.backoff_max_duration.seconds == wanted.longest_wait_s


def test_secrets_are_references(package: Path, pods: dict[str, Any], table: ClusterResources) -> None:
    assert CANARY not in package.read_text()
    for name, pod in pods.items():
        wanted = [table.secrets[secret] for secret in table.tasks[name.removeprefix("exec-")].secrets]
        variables = {
            item.secret_name: ([key.env_var for key in item.key_to_env], item.optional) for item in pod.secret_as_env
        }
        assert variables == {
            item.name: (item.keys, item.optional) for item in wanted if not isinstance(item, SecretFiles)
        }
        files = {item.secret_name: item.mount_path for item in pod.secret_as_volume}
        assert files == {item.name: item.folder for item in wanted if isinstance(item, SecretFiles)}
        settings = {key.env_var: item.optional for item in pod.config_map_as_env for key in item.key_to_env}
        assert settings == {
            **dict.fromkeys(table.settings.required, False),
            **dict.fromkeys(table.settings.optional, True),
        }
    assert [name for name, task in table.tasks.items() if "keys" in task.secrets] == ["release"]


def test_release_is_told_where_its_keys_are(containers: dict[str, Any], table: ClusterResources) -> None:
    told = {name: {item["name"]: item["value"] for item in found.get("env", [])} for name, found in containers.items()}
    (keys,) = [secret for secret in table.secrets.values() if isinstance(secret, SecretFiles)]
    assert [name for name, found in told.items() if SIGNING_KEYS in found] == ["release"]
    assert told["release"][SIGNING_KEYS] == keys.folder


def test_the_table_for_trials_differs_in_size_alone(table: ClusterResources, tmp_path: Path) -> None:
    small = read_resources(RESOURCES_PATH.with_name("resources.local.yaml"))
    same = ("namespace", "service_account", "home", "labels", "identity", "settings", "secrets")
    assert small.model_dump(include=set(same)) == table.model_dump(include=set(same))
    assert list(small.tasks) == list(table.tasks) and small.rayjobs == {}
    assert {name: task.secrets for name, task in small.tasks.items()} == {
        name: task.secrets for name, task in table.tasks.items()
    }
    spec, _ = parsed(compiled("crashchat_pocket_smoke", tmp_path, small).path)
    assert set(tasks_of(spec)) <= set(small.tasks)


def test_training_is_told_of_its_rayjob(containers: dict[str, Any], table: ClusterResources) -> None:
    told = {
        name: variable["value"]
        for name, container in containers.items()
        for variable in container.get("env", [])
        if variable["name"] == RAYJOB
    }
    assert set(told) == {"train"}
    settings = RayJobConfig.parse_json(told["train"], RAYJOB)
    digest = made_up_digests()["hazardline-train-python"]
    assert settings.image == f"{REGISTRY}/hazardline-train-python@{digest}"
    assert (settings.namespace, settings.home) == (table.namespace, table.home)
    assert settings.node_selector == table.pools["a100-80gb"].node_selector and settings.head.gpus == 2
    assert [item.key for item in settings.tolerations] == ["nvidia.com/gpu"]


def test_the_table_is_of_the_stages_and_of_locked_images(table: ClusterResources) -> None:
    assert set(table.tasks) == {stage.name for stage in (*STAGES, *RETRAINING)} | {"conclude", "notify", "recall"}
    assert table.image_names() <= set(read_lock().images)


_WRONG: dict[str, tuple[list[str], Any, str]] = {
    "a misspelt field": (["tasks", "train", "memroy"], "1Gi", "tasks.train.memroy: unknown key"),
    "a misspelt field of a pool": (["pools", "a100-40gb", "nodeselector"], {}, "pools.a100-40gb.nodeselector: unknown"),
    "a misspelt stage": (["tasks", "simulte"], None, "tasks: simulate is missing"),
    "another quantity": (["tasks", "gate", "memory"], "2 GB", "tasks.gate.memory"),
    "a number for a quantity": (["tasks", "gate", "cpu"], 1, "tasks.gate.cpu"),
    "more than the limit": (["tasks", "gate", "cpu"], "64", "cpu 64 is more than cpu_limit 2"),
    "an unknown pool": (["tasks", "evaluate", "pool"], "h100", "tasks.evaluate.pool: h100 is unknown"),
    "a misspelt field of a RayJob": (["rayjobs", "train", "settings", "que"], "x", "rayjobs.train.settings: que"),
    "a RayJob's image, given twice": (["rayjobs", "train", "settings", "image"], "x", "image follows from the rest"),
    "a RayJob of an unknown pool": (["rayjobs", "train", "pool"], "h100", "rayjobs.train.pool: h100 is unknown"),
    "a RayJob of no task": (
        ["rayjobs", "trane"],
        {"image": "a", "pool": "b", "settings": {}},
        "no task is named trane",
    ),
    "GPUs of no pool": (["tasks", "gate", "gpus"], 1, "names their pool"),
    "a misspelt field of a secret": (
        ["secrets", "webhook", "optionl"],
        True,
        "secrets.webhook.variables.optionl: unknown",
    ),
    "a word for yes": (["secrets", "webhook", "optional"], "yes", "secrets.webhook.variables.optional"),
    "an unknown secret": (["tasks", "gate", "secrets"], ["s4"], "tasks.gate.secrets: s4 is unknown"),
    "an effect that there is not": (
        ["pools", "a100-40gb", "tolerations"],
        [{"key": "x", "operator": "Exists", "effect": "NoScheduling"}],
        "effect",
    ),
}


@pytest.mark.parametrize("case", _WRONG)
def test_a_wrong_table_is_refused_with_its_field(case: str, tmp_path: Path) -> None:
    where, value, message = _WRONG[case]
    data = yaml.safe_load(RESOURCES_PATH.read_text())
    inside = data
    for key in where[:-1]:
        inside = inside[key]
    if value is None:
        inside[where[-1]] = inside.pop("simulate")
    else:
        inside[where[-1]] = value
    path = tmp_path / "resources.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        read_resources(path)
    assert str(refused.value).startswith(str(path))


def test_quantities_are_compared_by_size() -> None:
    assert size_bytes("1Gi") == 1024 * size_bytes("1Mi") > size_bytes("1G") > size_bytes("999999999")


def test_an_image_without_digest_is_not_compiled() -> None:
    lock = read_lock()
    name = next(iter(lock.images))
    with pytest.raises(UserError, match=r"registry is null.*--registry"):
        references([name], lock, "lock.yaml", {}, None)
    with pytest.raises(UserError, match=rf"lock.yaml: {name} has no digest.*--image-digest {name}=sha256"):
        references([name], lock, "lock.yaml", {}, "registry.example")
    digest = "sha256:" + "a" * 64
    given = parse_digests([f"{name}={digest}"])
    assert references([name], lock, "lock.yaml", given, "r.io:5000/x") == {name: f"r.io:5000/x/{name}@{digest}"}


def test_a_lock_file_with_digests_needs_nothing_more(tmp_path: Path) -> None:
    data = yaml.safe_load(LOCK_PATH.read_text())
    digest = "sha256:" + "b" * 64
    data["registry"] = "localhost:5000"
    for image in data["images"].values():
        image["digest"] = digest
    path = tmp_path / "lock.yaml"
    path.write_text(yaml.safe_dump(data))
    name = next(iter(data["images"]))
    assert references([name], read_lock(path), str(path), {}, None) == {name: f"localhost:5000/{name}@{digest}"}


@pytest.mark.parametrize(
    "given", ["x", "x=latest", "=sha256:" + "a" * 64, "x=sha256:" + "A" * 64, "x=sha256:" + "a" * 63]
)
def test_a_digest_by_hand_has_one_form(given: str) -> None:
    with pytest.raises(UserError, match="expected NAME=sha256:"):
        parse_digests([given])


def test_a_digest_of_an_unknown_image_or_given_twice_is_refused() -> None:
    digest = "sha256:" + "a" * 64
    with pytest.raises(UserError, match="given twice"):
        parse_digests([f"x={digest}", f"x={digest}"])
    with pytest.raises(UserError, match="has no image x; it has"):
        references([], read_lock(), "lock.yaml", {"x": digest}, "r.io")
