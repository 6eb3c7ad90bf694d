"""The RayJob of a stage as plain data: a pure function of the settings and the request's address."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hazardline import environment
from hazardline.rayjob.client import GROUP, VERSION
from hazardline.rayjob.config import KeyRef, RayJobConfig, Resources
from hazardline.rayjob.request import REQUEST_NAME

MAX_NAME = 47
"""KubeRay's limit: names of clusters, services and pods are made of it."""
_KEY_DIGITS = 16
DIGEST, OWNER, ATTEMPT = "hazardline/request-digest", "hazardline/owner", "hazardline/attempt"
"""Annotations: what was asked for, whose the job is, and which folder of the exchange it uses."""
JOB_LABEL = "hazardline/rayjob"
"""Label of all pods of a job: its name."""
_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_GPU, _GPU_PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
_UID = 10001
WORKER_GROUP = "workers"
"""Kueue calls the other groups of a job `head` and `submitter`."""
_SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "USERNAME")
_NOT_PASSED = (environment.RAYJOB, environment.EVENTS)
"""The cluster delegates nothing further, and cannot write into the component's file of events."""


def job_name(stage: str, key: str) -> str:
    """Name of the RayJob that makes an output: the same for everyone who wants it (DNS-1035, at most 47 letters)."""
    name = f"hazardline-{stage}-{key[:_KEY_DIGITS]}"
    assert len(name) <= MAX_NAME
    return name


def passed_on(environ: Mapping[str, str], config: RayJobConfig) -> tuple[dict[str, str], list[str]]:
    """Variables of the component that the Ray pods get too, and the names of those that they do not get.

    `MLFLOW_*` and `HAZARDLINE_*`, for the run that KFP opened must be theirs. What may be a secret is not passed on: a
    manifest is no place for it, and everybody who may list RayJobs would read it.
    """
    passed, withheld = {}, []
    for name, value in sorted(environ.items()):
        if not name.startswith(("MLFLOW_", "HAZARDLINE_")) or name.startswith(_NOT_PASSED) or name in config.env:
            continue
        if name in config.secret_env:
            continue
        if any(word in name for word in _SECRET_WORDS) or "@" in urlsplit(value).netloc:
            withheld.append(name)
        else:
            passed[name] = value
    return passed, withheld


def ray_job(
    config: RayJobConfig,
    stage: str,
    name: str,
    exchange: str,
    annotations: Mapping[str, str],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """The manifest.

    `suspend` is not set: Kueue sets it where there is a queue, and takes it back when it admits the job.

    Args:
        config: the settings.
        stage: name of the stage.
        name: of the job, by `job_name`.
        exchange: address where the request lies.
        annotations: of the job.
        environ: variables of the pods beside those that the settings name, by `passed_on`.
    """
    labels = {"app.kubernetes.io/part-of": "hazardline", "app.kubernetes.io/component": stage}
    queue = {_QUEUE_LABEL: config.queue} if config.queue else {}
    variables = _variables(config, environ)
    pod_labels = {**labels, JOB_LABEL: name}
    cluster: dict[str, Any] = {
        "rayVersion": config.ray_version,
        "authOptions": {"mode": config.authentication},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"} if config.num_workers else {},
            "template": _pod(config, "ray-head", config.head, pod_labels, variables),
        },
    }
    if config.num_workers:
        group = {"replicas": config.num_workers, "minReplicas": config.num_workers, "maxReplicas": config.num_workers}
        template = _pod(config, "ray-worker", config.worker, pod_labels, variables)
        cluster["workerGroupSpecs"] = [{"groupName": WORKER_GROUP, **group, "rayStartParams": {}, "template": template}]
    spec: dict[str, Any] = {
        "entrypoint": f"python -m hazardline.rayjob.entrypoint --request {exchange}/{REQUEST_NAME}",
        "submissionMode": config.submission_mode,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": config.ttl_s,
        "activeDeadlineSeconds": config.active_deadline_s,
        "preRunningDeadlineSeconds": config.start_timeout_s,
        "backoffLimit": config.backoff_limit,
        "rayClusterSpec": cluster,
    }
    if config.submission_mode == "K8sJobMode":
        small = Resources(cpu="500m", memory="512Mi")
        submitter = _pod(config, "ray-job-submitter", small, pod_labels, [])
        spec["submitterPodTemplate"] = {**submitter, "spec": {**submitter["spec"], "restartPolicy": "Never"}}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "RayJob",
        "metadata": {
            "name": name,
            "namespace": config.namespace,
            "labels": {**labels, **queue},
            "annotations": dict(annotations),
        },
        "spec": spec,
    }


def _variables(config: RayJobConfig, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Variables of the Ray containers, by name. What is known as a value counts before a ConfigMap's key."""
    plain = {
        "HOME": "/tmp",  # noqa: S108 - in a container of its own
        "RAY_JOB_STOP_WAIT_TIME_S": str(config.stop_grace_s),
        "RAY_USAGE_STATS_ENABLED": "0",
        **environ,
        **config.env,
    }
    found: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in plain.items()}
    for name, ref in config.config_map_env.items():
        found.setdefault(name, {"valueFrom": {"configMapKeyRef": _key(ref)}})
    for name, ref in config.secret_env.items():
        found[name] = {"valueFrom": {"secretKeyRef": _key(ref)}}
    return [{"name": name, **found[name]} for name in sorted(found)]


def _key(ref: KeyRef) -> dict[str, Any]:
    return {"name": ref.name, "key": ref.key, **({"optional": True} if ref.optional else {})}


def _pod(
    config: RayJobConfig, name: str, resources: Resources, labels: Mapping[str, str], variables: list[dict[str, Any]]
) -> dict[str, Any]:
    """A pod of one container that the pod security level `restricted` admits."""
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    gpus = {_GPU: str(resources.gpus)} if resources.gpus else {}
    home: dict[str, Any] = {"emptyDir": {"sizeLimit": config.scratch_size}}
    if config.storage_claim and name != "ray-job-submitter":
        home = {"persistentVolumeClaim": {"claimName": config.storage_claim}}
    volumes = {
        "/tmp": {"emptyDir": {"sizeLimit": config.scratch_size}},  # noqa: S108 - a path in a container of its own
        "/dev/shm": {"emptyDir": {"medium": "Memory", "sizeLimit": config.shm_size}},  # noqa: S108
        config.home: home,
    }
    names = {path: f"volume-{number}" for number, path in enumerate(volumes)}
    container: dict[str, Any] = {
        "name": name,
        "image": config.image,
        "resources": {"requests": {**amounts, **gpus}, "limits": {**amounts, **gpus}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": names[path], "mountPath": path} for path in volumes],
    }
    if variables:
        container["env"] = variables
    selector = {**config.node_selector}
    if gpus and config.gpu_product:
        selector[_GPU_PRODUCT] = config.gpu_product
    spec: dict[str, Any] = {
        "serviceAccountName": config.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": config.stop_grace_s + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": names[path], **source} for path, source in volumes.items()],
    }
    if selector:
        spec["nodeSelector"] = selector
    if gpus and config.tolerations:
        spec["tolerations"] = [toleration.model_dump(exclude_none=True) for toleration in config.tolerations]
    if config.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in config.image_pull_secrets]
    return {"metadata": {"labels": dict(labels)}, "spec": spec}
