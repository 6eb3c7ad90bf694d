"""The RayJob's manifest against the CRD, KubeRay's rules and the security level `restricted`."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.rayjob.config import RayJobConfig, rayjob_config
from hazardline.rayjob.manifest import ATTEMPT, DIGEST, JOB_LABEL, MAX_NAME, OWNER, job_name, passed_on, ray_job
from hazardline.stages import STAGES
from tests.rayjob.crd import Faults, broken_rules

IMAGE = "registry.example/hazardline-train@sha256:" + "a" * 64
KEY = "0123456789abcdef" * 4
WORKERS = {"num_workers": 2, "storage_claim": "hazardline-shared", "gpu_product": "NVIDIA-A100-SXM4-80GB"}
VARIANTS: dict[str, dict[str, Any]] = {
    "one pod": {"head": {"cpu": "16", "memory": "200Gi", "gpus": 8}, "gpu_product": "NVIDIA-A100-SXM4-40GB"},
    "workers": {**WORKERS, "worker": {"cpu": "8", "memory": "64Gi", "gpus": 4}, "env": {"NCCL_DEBUG": "INFO"}},
    "no queue": {"queue": None, "submission_mode": "HTTPMode", "authentication": "disabled", "tolerations": []},
    "pull": {
        "image_pull_secrets": ["registry"],
        "head": {"cpu": "8", "memory": "64Gi", "gpus": 1},
        "node_selector": {"pool": "a100"},
    },
}


def make(config: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> dict[str, Any]:
    settings = RayJobConfig.parse({"image": IMAGE, **(config or {})}, "test")
    annotations = {DIGEST: "d" * 64, OWNER: "pod-1", ATTEMPT: "12345678"}
    name = job_name("train", KEY)
    return ray_job(settings, "train", name, f"s3://bucket/rayjobs/{name}/12345678", annotations, environ or {})


def pods(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    yield cluster["headGroupSpec"]["template"]
    yield from (group["template"] for group in cluster.get("workerGroupSpecs", []))
    if "submitterPodTemplate" in job["spec"]:
        yield job["spec"]["submitterPodTemplate"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_manifest_is_what_the_crd_says(crd_faults: Faults, variant: str) -> None:
    assert crd_faults(make(VARIANTS[variant])) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_kuberay_and_kueue_take_it(variant: str) -> None:
    assert broken_rules(make(VARIANTS[variant])) == []


@pytest.mark.parametrize(
    "place",
    [
        ("spec",),
        ("spec", "rayClusterSpec"),
        ("spec", "rayClusterSpec", "headGroupSpec"),
        ("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec"),
        ("spec", "submitterPodTemplate", "spec", "containers", 0, "securityContext"),
    ],
)
def test_a_misspelt_field_is_a_fault(crd_faults: Faults, place: tuple[Any, ...]) -> None:
    job = make(VARIANTS["workers"])
    node = job
    for part in place:
        node = node[part]
    node["activeDedlineSeconds"] = 1
    (fault,) = crd_faults(job)
    assert "activeDedlineSeconds" in fault


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda job: job["metadata"].update(name="x" * 48), "at most 47"),
        (lambda job: job["metadata"].update(name="1train"), "DNS-1035"),
        (lambda job: job["spec"].update(activeDeadlineSeconds=0), "activeDeadlineSeconds"),
        (lambda job: job["spec"].update(suspend=True), "Kueue alone"),
        (lambda job: job["spec"].update(shutdownAfterJobFinishes=False), "shutdownAfterJobFinishes"),
        (
            lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(groupName="Head"),
            "names of their own",
        ),
    ],
)
def test_the_rules_refuse_what_they_are_for(change: Callable[[Any], None], rule: str) -> None:
    job = make(VARIANTS["workers"])
    change(job)
    broken = broken_rules(job)
    assert broken and all(rule in line for line in broken)


def test_names_follow_from_the_key_alone() -> None:
    assert job_name("train", KEY) == "hazardline-train-0123456789abcdef"
    for stage in STAGES:
        name = job_name(stage.name, KEY)
        assert len(name) <= MAX_NAME and re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)


def test_the_queue_and_deadlines_stand_on_the_job() -> None:
    job = make({"start_timeout_s": 60, "run_deadline_s": 600, "ttl_s": 5, "backoff_limit": 1})
    labels, spec = job["metadata"]["labels"], job["spec"]
    assert labels["kueue.x-k8s.io/queue-name"] == "hazardline-training" and "suspend" not in spec
    assert labels["app.kubernetes.io/part-of"] == "hazardline" and labels["app.kubernetes.io/component"] == "train"
    assert (spec["activeDeadlineSeconds"], spec["preRunningDeadlineSeconds"]) == (660, 60)
    assert (spec["ttlSecondsAfterFinished"], spec["backoffLimit"], spec["shutdownAfterJobFinishes"]) == (5, 1, True)
    assert "kueue.x-k8s.io/queue-name" not in make({"queue": None})["metadata"]["labels"]
    name = job["metadata"]["name"]
    assert spec["entrypoint"] == (
        f"python -m hazardline.rayjob.entrypoint --request s3://bucket/rayjobs/{name}/12345678/request.json"
    )
    for pod in pods(job):
        assert pod["metadata"]["labels"][JOB_LABEL] == name
        assert "kueue.x-k8s.io/queue-name" not in pod["metadata"]["labels"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_pods_are_restricted(variant: str) -> None:
    """The rules of the pod security level `restricted`, and a root file system that is read only."""
    for pod in pods(make(VARIANTS[variant])):
        spec = pod["spec"]
        context = spec["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] == context["fsGroup"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False and spec["serviceAccountName"] == "hazardline-ray"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["image"] == IMAGE
        assert container["resources"]["requests"] == container["resources"]["limits"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert set(mounts) == {"/tmp", "/dev/shm", "/var/lib/hazardline"}
        assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"


def test_gpus_are_asked_for_where_they_are_used() -> None:
    head, worker, submitter = pods(make(VARIANTS["workers"]))
    assert "nvidia.com/gpu" not in head["spec"]["containers"][0]["resources"]["limits"]
    assert "nodeSelector" not in head["spec"] and "tolerations" not in head["spec"]
    assert worker["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert worker["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    assert worker["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    claims = [volume["persistentVolumeClaim"] for volume in worker["spec"]["volumes"] if "emptyDir" not in volume]
    assert claims == [{"claimName": "hazardline-shared"}]
    assert submitter["spec"]["restartPolicy"] == "Never"
    alone, _ = pods(make(VARIANTS["one pod"]))
    assert alone["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"


@pytest.mark.parametrize("variant", ["one pod", "workers"])
def test_only_pods_with_gpus_are_sent_to_their_machines(variant: str) -> None:
    """Those are tainted: a pod that is sent there and does not bear the taint waits for ever."""
    job = make({**VARIANTS[variant], "gpu_product": None, "node_selector": {"pool": "a100"}})
    placed = [
        (
            "nvidia.com/gpu" in pod["spec"]["containers"][0]["resources"]["limits"],
            pod["spec"].get("nodeSelector"),
            [toleration["key"] for toleration in pod["spec"].get("tolerations", [])],
        )
        for pod in pods(job)
    ]
    sent, elsewhere = (True, {"pool": "a100"}, ["nvidia.com/gpu"]), (False, None, [])
    assert placed == {"one pod": [sent, elsewhere], "workers": [elsewhere, sent, elsewhere]}[variant]


def test_secrets_are_named_and_never_written() -> None:
    environ = {
        "MLFLOW_RUN_ID": "run-7",
        "MLFLOW_EXPERIMENT_ID": "3",
        "MLFLOW_TRACKING_PASSWORD": "canary-1",
        "MLFLOW_TRACKING_TOKEN": "canary-2",
        "MLFLOW_TRACKING_URI": "https://user:canary-3@mlflow",
        "HAZARDLINE_ANNOTATOR_KEY": "canary-4",
        "HAZARDLINE_WEBHOOK_SECRET": "canary-5",
        "HAZARDLINE_KFP_COOKIES": "session=canary-7",
        "HAZARDLINE_STORE_MIRROR": "s3://bucket/prefix",
        "HAZARDLINE_RAYJOB": "{}",
        "HAZARDLINE_EVENTS": "events.jsonl",
        "AWS_SECRET_ACCESS_KEY": "canary-6",
        "PATH": "/bin",
    }
    config = RayJobConfig(image=IMAGE)
    passed, withheld = passed_on(environ, config)
    assert passed == {
        "MLFLOW_RUN_ID": "run-7",
        "MLFLOW_EXPERIMENT_ID": "3",
        "HAZARDLINE_STORE_MIRROR": "s3://bucket/prefix",
    }
    assert withheld == [
        "HAZARDLINE_ANNOTATOR_KEY",
        "HAZARDLINE_KFP_COOKIES",
        "HAZARDLINE_WEBHOOK_SECRET",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_URI",
    ]
    job = make(environ=passed)
    assert "canary" not in json.dumps(job)
    (head, _) = pods(job)
    variables = {variable.pop("name"): variable for variable in copy.deepcopy(head["spec"]["containers"][0]["env"])}
    assert variables["MLFLOW_RUN_ID"] == {"value": "run-7"}
    assert variables["HAZARDLINE_STORE_MIRROR"] == {"value": "s3://bucket/prefix"}
    assert variables["HAZARDLINE_HOME"]["valueFrom"]["configMapKeyRef"] == {
        "name": "hazardline-settings",
        "key": "HAZARDLINE_HOME",
    }
    assert variables["HAZARDLINE_S3_ENDPOINT"]["valueFrom"]["configMapKeyRef"]["optional"] is True
    assert variables["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "hazardline-s3",
        "key": "AWS_SECRET_ACCESS_KEY",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "registry.example/train:latest"}, "image"),
        ({"gpu_produkt": "x"}, "gpu_produkt: unknown key"),
        ({"head": {"cpu": "many", "memory": "1Gi"}}, "head.cpu"),
        ({"run_deadline_s": 0}, "run_deadline_s"),
        ({"run_deadline_s": 2**31 - 1}, "more seconds than KubeRay counts"),
        ({"gpu_product": "A100"}, "no pod asks for a GPU"),
        ({"node_selector": {"pool": "a100"}}, "node_selector is given, but no pod asks for a GPU"),
        ({"num_workers": 1, "gpu_product": "A100", "worker": {"cpu": "1", "memory": "1Gi"}}, "worker.gpus is 0"),
        ({"env": {"AWS_ACCESS_KEY_ID": "x"}}, "is given by a Secret and once more"),
        ({"tolerations": [{"key": "x", "operator": "Exists", "value": "y", "effect": "NoSchedule"}]}, "operator Equal"),
    ],
)
def test_wrong_settings_are_one_line(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str) -> None:
    monkeypatch.setenv("HAZARDLINE_RAYJOB", json.dumps({"image": IMAGE, **change}))
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        rayjob_config()
    assert "\n" not in str(caught.value) and str(caught.value).startswith("HAZARDLINE_RAYJOB: ")


def test_without_settings_there_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAZARDLINE_RAYJOB", raising=False)
    assert rayjob_config() is None
