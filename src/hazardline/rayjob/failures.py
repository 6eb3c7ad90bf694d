"""From the states of a RayJob, its pods and their events to one line that says what is wrong and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hazardline.errors import UserError
from hazardline.rayjob.config import RayJobConfig
from hazardline.rayjob.request import StageResult


class Phase(StrEnum):
    """Where a RayJob is, as far as somebody who waits for it is concerned."""

    QUEUED = "queued"
    STARTING = "cluster starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether it stays so."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


def phase_of(job: Mapping[str, Any]) -> Phase:
    """The phase that KubeRay's and Ray's states amount to."""
    status = job.get("status") or {}
    deployment, ray = status.get("jobDeploymentStatus") or "", status.get("jobStatus") or ""
    if deployment == "Complete":
        return Phase.SUCCEEDED if ray == "SUCCEEDED" else Phase.FAILED
    if deployment in ("Failed", "ValidationFailed"):
        return Phase.FAILED
    if job["spec"].get("suspend") or deployment in ("Suspending", "Suspended"):
        return Phase.QUEUED
    if deployment == "Running" and ray != "PENDING":
        return Phase.RUNNING
    return Phase.STARTING


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a pod."""

    text: str
    seldom_mends: bool = False
    """Whether waiting is of little use."""


_WAITING = {
    "ErrImagePull": "see that rayjob.image was pushed and that rayjob.image_pull_secrets may read it",
    "ImagePullBackOff": "see that rayjob.image was pushed and that rayjob.image_pull_secrets may read it",
    "InvalidImageName": "mend rayjob.image",
    "CreateContainerConfigError": "create the Secret or ConfigMap that is named, or mend rayjob.secret_env",
    "CreateContainerError": "see the pod's events",
    "CrashLoopBackOff": "see the pod's log; the image must have Ray of rayjob.ray_version",
}
_EVENTS = {
    "FailedMount": "see that the volume exists (rayjob.storage_claim) and can be mounted on that node",
    "FailedAttachVolume": "see that the volume exists (rayjob.storage_claim) and can be mounted on that node",
    "FailedCreate": "mend the namespace's quota or pod security, or rayjob's resources",
    "FailedToCreateHeadPod": "mend the namespace's quota or pod security, or rayjob's resources",
    "FailedToCreateWorkerPod": "mend the namespace's quota or pod security, or rayjob's resources",
    "Evicted": "raise rayjob.scratch_size or the pod's memory",
    "Preempted": "it was taken away for a pod of a higher priority",
}
_OOM = "raise the pod's memory in rayjob, or lower train.clips_per_row"
_UNSCHEDULABLE = "no node takes the pod: see rayjob.gpu_product, node_selector, tolerations and resources"


def troubles(pods: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> list[Trouble]:
    """What is wrong with a job's pods, the worst first."""
    found = [trouble for pod in pods for trouble in _pod_troubles(pod)]
    for event in events:
        remedy = _EVENTS.get(event.get("reason", ""))
        if remedy is not None:
            about = event.get("involvedObject", {}).get("name", "?")
            found.append(Trouble(f"{about}: {event['reason']}: {_line(event.get('message'))}; {remedy}"))
    return sorted(dict.fromkeys(found), key=lambda trouble: not trouble.seldom_mends)


def _pod_troubles(pod: Mapping[str, Any]) -> Iterable[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition.get("reason") == "Unschedulable":
            yield Trouble(f"{name}: Unschedulable: {_line(condition.get('message'))}; {_UNSCHEDULABLE}")
    if status.get("reason") in _EVENTS:
        yield Trouble(f"{name}: {status['reason']}: {_line(status.get('message'))}; {_EVENTS[status['reason']]}")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _WAITING:
            said = f"{waiting['reason']}: {_line(waiting.get('message'))}"
            yield Trouble(f"{name}: {said}; {_WAITING[waiting['reason']]}", seldom_mends=True)
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            if (state.get("terminated") or {}).get("reason") == "OOMKilled":
                yield Trouble(f"{name}: OOMKilled: it took more memory than its limit; {_OOM}")


_AGAIN = "; checkpoints are kept: run again to go on"


def overdue(name: str, phase: Phase, config: RayJobConfig, found: list[Trouble]) -> UserError:
    """A job that was in a phase for longer than it may be."""
    why = f" ({found[0].text})" if found else ""
    if phase is Phase.QUEUED:
        return UserError(
            f"RayJob {name}: not admitted by the queue {config.queue} within {config.queue_timeout_s} s{why}; see the "
            "queue's quota and who uses it, or raise rayjob.queue_timeout_s"
        )
    if phase is Phase.STARTING:
        return UserError(
            f"RayJob {name}: its Ray cluster did not start within {config.start_timeout_s} s{why}; see that KubeRay "
            "runs, or raise rayjob.start_timeout_s"
        )
    return UserError(
        f"RayJob {name}: ran longer than {config.run_deadline_s} s{why}; raise rayjob.run_deadline_s, or train fewer "
        f"steps{_AGAIN}"
    )


def stuck(name: str, trouble: Trouble) -> UserError:
    """A pod that will not start."""
    return UserError(f"RayJob {name}: {trouble.text}")


def refused(result: StageResult) -> UserError:
    """What the stage found wrong inside of the cluster."""
    return UserError(result.error)


class RayJobDefectError(Exception):
    """The stage failed inside of the cluster by a defect; the message is its traceback there."""


def failed(job: Mapping[str, Any], config: RayJobConfig, result: StageResult | None, found: list[Trouble]) -> Exception:
    """Why a job failed: what the stage itself said, else what KubeRay and the pods say."""
    name, status = job["metadata"]["name"], job.get("status") or {}
    reason, ray = status.get("reason") or "", status.get("jobStatus") or ""
    if result is not None and result.state == "refused":
        return refused(result)
    if result is not None and result.state == "defect":
        return RayJobDefectError(f"RayJob {name}: the stage failed in the cluster:\n{result.error}")
    if reason == "DeadlineExceeded":
        return overdue(name, Phase.RUNNING, config, found)
    if reason == "PreRunningDeadlineExceeded":
        return overdue(name, Phase.STARTING, config, found)
    said = f"{reason or status.get('jobDeploymentStatus')}: {_line(status.get('message'))}"
    why = f" ({found[0].text})" if found else ""
    if (result is not None and result.state == "stopped") or ray == "STOPPED":
        return UserError(f"RayJob {name}: stopped from outside ({said}){why}{_AGAIN}")
    return UserError(f"RayJob {name}: {said}{why}; {_REASONS.get(reason, _REASONS[''])}")


_REASONS = {
    "SubmissionFailed": "the job did not reach the Ray cluster: see the submitter pod's events, the network policies "
    "between it and the head, and that image and rayjob.ray_version agree",
    "ValidationFailed": "KubeRay refuses the job; mend HAZARDLINE_RAYJOB, or install a KubeRay that knows its fields",
    "JobDeploymentStatusTransitionGracePeriodExceeded": "the submitter ended without Ray's word; run again to go on",
    "JobStatusCheckTimeoutExceeded": "KubeRay lost the head (a lost node, or its memory); run again to go on",
    "AppFailed": "the entrypoint ended without a result, as by a lost node or too little memory; run again to go on "
    "from the checkpoint, and raise the head's memory in rayjob if it comes back",
    "": "see `kubectl describe rayjob`; run again to go on",
}


def _line(text: Any) -> str:
    return " ".join(str(text or "no message").split())[:300]
