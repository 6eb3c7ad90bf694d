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
_AFTER_GRACE_S = 10
"""From the end of a checkpoint's time to SIGKILL: the result has to be written."""
WORKER_GROUP = "workers"
"""Kueue calls the other groups of a job `head` and `submitter`."""
_SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "KEY", "COOKIE", "CREDENTIAL", "USERNAME")
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
    pod_labels = {**labels, JOB_LABEL: name}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "RayJob",
        "metadata": {
            "name": name,
            "namespace": config.namespace,
            "labels": {**labels, **({_QUEUE_LABEL: config.queue} if config.queue else {})},
            "annotations": dict(annotations),
        },
        "spec": {
            "entrypoint": f"python -m hazardline.rayjob.entrypoint --request {exchange}/{REQUEST_NAME}",
            **_submission(config, pod_labels),
            **_end(config),
            "rayClusterSpec": _cluster(config, pod_labels, _variables(config, environ)),
        },
    }


def _end(config: RayJobConfig) -> dict[str, Any]:
    """When KubeRay tries again, gives up and frees the nodes, also where nobody watches the job any more."""
    return {
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": config.ttl_s,
        "activeDeadlineSeconds": config.active_deadline_s,
        "preRunningDeadlineSeconds": config.start_timeout_s,
        "backoffLimit": config.backoff_limit,
    }


def _submission(config: RayJobConfig, labels: Mapping[str, str]) -> dict[str, Any]:
    """How the entrypoint gets to Ray: by a small pod of its own, or by KubeRay itself."""
    submission: dict[str, Any] = {"submissionMode": config.submission_mode}
    if config.submission_mode == "K8sJobMode":
        small = Resources(cpu="500m", memory="512Mi")
        pod = _pod(config, "ray-job-submitter", small, labels, variables=[], claim=None)
        submission["submitterPodTemplate"] = {**pod, "spec": {**pod["spec"], "restartPolicy": "Never"}}
    return submission


def _cluster(config: RayJobConfig, labels: Mapping[str, str], variables: list[dict[str, Any]]) -> dict[str, Any]:
    """The Ray cluster: the head, and worker pods where there are any, which then have all of Ray's work."""
    claim = config.storage_claim
    cluster: dict[str, Any] = {
        "rayVersion": config.ray_version,
        "authOptions": {"mode": config.authentication},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"} if config.num_workers else {},
            "template": _pod(config, "ray-head", config.head, labels, variables, claim),
        },
    }
    if config.num_workers:
        cluster["workerGroupSpecs"] = [
            {
                "groupName": WORKER_GROUP,
                **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), config.num_workers),
                "rayStartParams": {},
                "template": _pod(config, "ray-worker", config.worker, labels, variables, claim),
            }
        ]
    return cluster


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
    config: RayJobConfig,
    name: str,
    resources: Resources,
    labels: Mapping[str, str],
    variables: list[dict[str, Any]],
    claim: str | None,
) -> dict[str, Any]:
    """A pod of one container that the pod security level `restricted` admits; `claim` is the volume of its home."""
    volumes = _volumes(config, claim)
    names = {path: f"volume-{number}" for number, path in enumerate(volumes)}
    container = _container(config, name, resources, variables)
    container["volumeMounts"] = [{"name": names[path], "mountPath": path} for path in volumes]
    spec: dict[str, Any] = {
        "serviceAccountName": config.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": config.stop_grace_s + _AFTER_GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": names[path], **source} for path, source in volumes.items()],
        **_placement(config, resources.gpus > 0),
    }
    if config.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in config.image_pull_secrets]
    return {"metadata": {"labels": dict(labels)}, "spec": spec}


def _volumes(config: RayJobConfig, claim: str | None) -> dict[str, dict[str, Any]]:
    """What is mounted where: all that a pod may write, as its root file system is read only."""
    scratch = {"emptyDir": {"sizeLimit": config.scratch_size}}
    return {
        "/tmp": scratch,  # noqa: S108 - a path in a container of its own
        "/dev/shm": {"emptyDir": {"medium": "Memory", "sizeLimit": config.shm_size}},  # noqa: S108
        config.home: {"persistentVolumeClaim": {"claimName": claim}} if claim else scratch,
    }


def _container(
    config: RayJobConfig, name: str, resources: Resources, variables: list[dict[str, Any]]
) -> dict[str, Any]:
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        amounts[_GPU] = str(resources.gpus)
    container: dict[str, Any] = {
        "name": name,
        "image": config.image,
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if variables:
        container["env"] = variables
    return container


def _placement(config: RayJobConfig, has_gpus: bool) -> dict[str, Any]:
    """Nodes that a pod may be placed on. One without GPUs goes anywhere but to their machines, whose taint bars it.

    Kueue adds the labels of the flavours that it hands out, and those of processors and memory have none.
    """
    if not has_gpus:
        return {}
    placement: dict[str, Any] = {}
    selector = dict(config.node_selector)
    if config.gpu_product:
        selector[_GPU_PRODUCT] = config.gpu_product
    if selector:
        placement["nodeSelector"] = selector
    if config.tolerations:
        placement["tolerations"] = [toleration.model_dump(exclude_none=True) for toleration in config.tolerations]
    return placement
