"""Kueue and KubeRay of the fake Kubernetes: what happens to a RayJob, and when.

`Script` says what goes wrong. What the operator does with states, deadlines and the time to live follows KubeRay 1.7
(`rayjob_controller.go`); it is not KubeRay.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.rayjob.fake_kubernetes import FakeKubernetes

LOOK_S = 0.02
"""How often the operator looks at a job."""
AGAIN, APP_FAILED = "again", "AppFailed"
DEADLINE, PRE_RUNNING_DEADLINE = "DeadlineExceeded", "PreRunningDeadlineExceeded"


@dataclass
class Script:
    """What happens to jobs and requests beside the ordinary."""

    queue_s: float = 0.0
    """How long Kueue keeps a job; infinite where it never admits it."""
    never_starts: bool = False
    pod_status: dict[str, Any] | None = None
    """Status of the head's pod while the cluster starts, which it then never leaves."""
    answers: list[int | str] = field(default_factory=list)
    """What the next requests get instead of their answer: a status, `drop` for a broken connection, `hang` for one that
    stays open without a word, or `lose` for one whose answer is lost after the work was done."""
    hang_s: float = 1.0
    watches: list[str] = field(default_factory=list)
    """What happens to the next watches: `drop`, `cut` (within a line), `gone` (410 as an event), `late` (410)."""
    ends: Mapping[str, Any] | None = None
    """Status that KubeRay gives the job as soon as it runs, killing the entrypoint."""
    ignores: bool = False
    """Whether the operator does nothing at all."""
    preempt_when: Callable[[], bool] | None = None
    """Kueue takes the job back, once, when this says so: SIGTERM, then SIGKILL after `grace_s`."""
    kill_when: Callable[[], bool] | None = None
    """The node is lost, once, when this says so: SIGKILL, and KubeRay starts a new cluster."""
    grace_s: float = 60.0


class Operator(threading.Thread):
    """Kueue and KubeRay for one job."""

    def __init__(self, fake: "FakeKubernetes", name: str) -> None:
        super().__init__(daemon=True)
        self._fake, self._name, self._script = fake, name, fake.script
        self._spec = fake.jobs[name]["spec"]
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ended = threading.Event()
        self._num_looks = 0
        self.start()

    def end(self) -> None:
        """The job was deleted: Ray is told to stop the entrypoint, and the pods go."""
        self._is_ended.set()
        self._free_nodes()
        if threading.current_thread() is not self:
            self.join()

    def wait_for_a_look(self) -> None:
        """Until the whole of a look at the job falls into the time of this call, or there is nothing more to see."""
        seen = self._num_looks
        while self.is_alive() and not self._is_ended.is_set() and self._num_looks < seen + 2:
            time.sleep(LOOK_S)

    def run(self) -> None:
        self._see_to_an_end()
        self._clean_up()

    def _see_to_an_end(self) -> None:
        """Until the job has ended, well or not."""
        retries = self._spec["backoffLimit"]
        while not self._is_ended.is_set():
            if self._spec.get("suspend"):
                self._update(jobDeploymentStatus="Suspended", jobStatus="")
                give_up_at = time.monotonic() + self._script.queue_s
                while time.monotonic() < give_up_at:
                    if self._look():
                        return
                self._spec["suspend"] = False
            self._begin_s = self._fake.now_s()
            self._update(jobDeploymentStatus="Initializing", rayClusterName=f"{self._name}-abcde")
            self._start_pod()
            if self._script.never_starts or self._script.pod_status is not None:
                ended = self._wait_in_vain()
            else:
                ended = self._run_entrypoint(self._spec["entrypoint"])
            if ended in (APP_FAILED, PRE_RUNNING_DEADLINE):
                job_status = {"jobStatus": "FAILED"} if ended == APP_FAILED else {}
                if retries:
                    retries -= 1
                    self._update(jobDeploymentStatus="Retrying", reason=ended, **job_status)
                    continue
                self._update(jobDeploymentStatus="Failed", reason=ended, message=self._why(ended), **job_status)
            if ended != AGAIN:
                return

    def _why(self, reason: str) -> str:
        if reason == APP_FAILED:
            assert self._process is not None
            return f"Job entrypoint command failed with exit code {self._process.returncode}"
        return "The RayJob has passed the preRunningDeadlineSeconds."

    def _clean_up(self) -> None:
        """What a job that has ended leaves goes after its time to live; the job itself stays, if KubeRay is so set."""
        if not self._spec.get("shutdownAfterJobFinishes"):
            return
        shutdown_s = self._fake.now_s() + self._spec.get("ttlSecondsAfterFinished", 0)
        while self._fake.now_s() < shutdown_s:
            if self._look():
                return
        self._free_nodes()
        if self._fake.deletes_finished:
            self._fake.delete(self._name, {})

    def _look(self) -> bool:
        """Wait a little; whether the job was deleted meanwhile."""
        self._num_looks += 1
        return self._is_ended.wait(LOOK_S)

    def _is_over(self, deadline: str) -> bool:
        """Whether a deadline of the manifest, which counts from the start of the cluster, has passed."""
        return deadline in self._spec and self._fake.now_s() >= self._begin_s + self._spec[deadline]

    def _is_overdue(self) -> bool:
        """Whether the job has failed by its deadline. It is not tried again; its nodes stay for the time to live."""
        if not self._is_over("activeDeadlineSeconds"):
            return False
        message = "The RayJob has passed the activeDeadlineSeconds."
        self._update(jobDeploymentStatus="Failed", reason=DEADLINE, message=message)
        return True

    def _free_nodes(self) -> None:
        """The cluster is deleted: SIGTERM to its pods, and SIGKILL where they do not end."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):  # it has ended by itself just now
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(self._script.grace_s)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._fake.pods.pop(self._pod, None)

    def _update(self, **status: Any) -> None:
        self._fake.update(self._name, **status)

    @property
    def _pod(self) -> str:
        return f"{self._name}-head"

    def _start_pod(self) -> None:
        labels = self._spec["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"]["labels"]
        metadata = {"name": self._pod, "labels": labels}
        self._fake.pods[self._pod] = {"metadata": metadata, "status": self._script.pod_status or {}}

    def _wait_in_vain(self) -> str:
        """The cluster does not get ready; the reason why KubeRay tries again, if it does."""
        while not self._look():
            if self._is_overdue():
                return ""
            if self._is_over("preRunningDeadlineSeconds"):
                return PRE_RUNNING_DEADLINE
        return ""

    def _run_entrypoint(self, entrypoint: str) -> str:
        """Run it once; `again` after a preemption, the reason of a failure, else how it ended is in the status."""
        log = self._fake.folder / f"entrypoint-{len(self._fake.logs)}.log"
        self._fake.logs.append(log)
        command = shlex.split(entrypoint)
        assert command[0] == "python"
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, *command[1:]],
                env=self._variables(),
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._update(jobDeploymentStatus="Running", jobStatus="RUNNING", message="")
        while self._process.poll() is None:
            if self._is_overdue():
                return ""
            if self._script.ends is not None:
                self._free_nodes()
                self._update(**self._script.ends)
                return ""
            if self._script.preempt_when is not None and self._script.preempt_when():
                self._script.preempt_when = None
                self._update(jobDeploymentStatus="Suspending")
                self._free_nodes()
                self._spec["suspend"] = True
                return AGAIN
            if self._script.kill_when is not None and self._script.kill_when():
                self._script.kill_when = None
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                return APP_FAILED
            self._look()
        if self._is_ended.is_set():
            return ""
        if self._process.returncode == 0:
            self._update(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
            return ""
        return APP_FAILED

    def _variables(self) -> dict[str, str]:
        """The container's variables; a secret or key that is missing is a KeyError, as the pod would not start."""
        pod = self._spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
        found = dict(self._fake.environ)
        for variable in pod["containers"][0]["env"]:
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                ref = source["secretKeyRef"]
                found[variable["name"]] = self._fake.secrets[ref["name"]][ref["key"]]
            elif "configMapKeyRef" in source:
                ref = source["configMapKeyRef"]
                values = self._fake.config_maps[ref["name"]]
                if ref["key"] in values or not ref.get("optional"):
                    found[variable["name"]] = values[ref["key"]]
            else:
                found[variable["name"]] = variable["value"]
        return found
