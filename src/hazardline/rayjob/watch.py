"""Follows a RayJob to its end: its states, its deadlines, its pods' troubles, and how far the stage is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hazardline.rayjob.client import DroppedError, Job, RayJobsApi
from hazardline.rayjob.config import RayJobConfig
from hazardline.rayjob.failures import Phase, Trouble, failed, overdue, phase_of, refused, stuck, troubles
from hazardline.rayjob.manifest import JOB_LABEL
from hazardline.rayjob.request import StageResult
from hazardline.store import StageRecord


class VanishedError(Exception):
    """The job is gone, and this run did not remove it."""


def states(api: RayJobsApi, name: str, poll_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[Job]:
    """The states of a job as they come, and the last one again every `poll_s` seconds where nothing changes.

    It is read once, then watched from that version on. A watch that was dropped, or whose version is too old (410), is
    begun again with a reading, so that no change is missed; one that ends in time goes on from where it was.

    Raises:
        VanishedError: there is no such job (any more).
        UserError: the API stays away.
    """
    job = _read(api, name)
    while True:
        yield job
        version = job["metadata"]["resourceVersion"]
        begin = time.monotonic()
        try:
            for change in api.changes(name, version, poll_s):
                if change is None:
                    raise VanishedError(name)
                version = change["metadata"]["resourceVersion"]
                if "spec" not in change:  # a bookmark
                    job["metadata"]["resourceVersion"] = version
                    continue
                job = change
                yield job
        except DroppedError:
            sleep(max(0.0, min(1.0, poll_s) - (time.monotonic() - begin)))  # a proxy that drops all at once
            job = _read(api, name)


def _read(api: RayJobsApi, name: str) -> Job:
    job = api.read(name)
    if job is None:
        raise VanishedError(name)
    return job


@dataclass
class Follower:
    """One job on its way; `follow` sees it to its end."""

    api: RayJobsApi
    config: RayJobConfig
    name: str
    say: Callable[[str], None]
    tick: Callable[[], StageResult | None]
    """Passes the stage's progress on, and returns its result where there is one."""
    clock: Callable[[], float] = time.monotonic
    _phase: Phase | None = None
    _since: float = 0.0
    _troubled_since: dict[str, float] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def follow(self) -> StageRecord:
        """The record of the output that the job made.

        Raises:
            UserError: refused, failed, or over a deadline.
            RayJobDefectError: the stage failed by a defect.
            VanishedError: somebody else has removed the job.
        """
        for job in states(self.api, self.name, self.config.poll_s):
            phase = phase_of(job)
            self._enter(phase, job)
            result = self.tick()
            if result is not None and result.state == "made" and result.record is not None:
                return result.record  # the store has it: how KubeRay winds up no longer matters
            if result is not None and result.state == "refused":
                raise refused(result)  # KubeRay would try again, and it would end alike
            if phase.is_final:
                raise failed(job, self.config, result, self._troubles(job))
            self._check(phase, job)
        raise AssertionError("states do not end")

    def _enter(self, phase: Phase, job: Job) -> None:
        if phase is self._phase:
            return
        again = " again" if self._phase is Phase.RUNNING else ""
        self._phase, self._since = phase, self.clock()
        self._troubled_since.clear()
        if phase.is_final:  # the result, or the error, says more
            return
        queue = f" in {self.config.queue}" if phase is Phase.QUEUED else ""
        self.say(f"RayJob {self.name}: {phase}{queue}{again}")

    def _check(self, phase: Phase, job: Job) -> None:
        limits = {
            Phase.QUEUED: self.config.queue_timeout_s,
            Phase.STARTING: self.config.start_timeout_s,
            Phase.RUNNING: self.config.run_deadline_s,
        }
        found = self._troubles(job) if phase is not Phase.QUEUED else []
        now = self.clock()
        if now - self._since > limits[phase]:
            raise overdue(self.name, phase, self.config, found)
        hopeless = {trouble.text: trouble for trouble in found if trouble.seldom_mends}
        self._troubled_since = {text: self._troubled_since.get(text, now) for text in hopeless}
        for text, since in self._troubled_since.items():
            if now - since > self.config.pod_trouble_s:
                raise stuck(self.name, hopeless[text])
        for trouble in found:
            if trouble.text not in self._said:
                self._said.add(trouble.text)
                self.say(f"RayJob {self.name}: {trouble.text}")

    def _troubles(self, job: Job) -> list[Trouble]:
        pods = self.api.pods(f"{JOB_LABEL}={self.name}")
        cluster = (job.get("status") or {}).get("rayClusterName")
        named = [pod["metadata"]["name"] for pod in pods] + ([cluster] if cluster else [])
        events: list[dict[str, Any]] = [event for name in named for event in self.api.events(name)]
        return troubles(pods, events)
