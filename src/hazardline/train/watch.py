"""What the driver sees of the branches while they train: progress, restarts, and metrics for MLflow."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hazardline.progress import Reporter
from hazardline.tasks import Branch

_MAX_LOGGED = 200
"""Loss points of a branch that are logged: every step of a short run, every n-th of a long one."""


class MetricLog(Protocol):
    """Where metrics go (`hazardline.tracking.Run`)."""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at a step."""


class BranchWatch:
    """Follows the events of all branches."""

    def __init__(self, branches: Sequence[Branch], reporter: Reporter, log: MetricLog) -> None:
        """Wait for the first event; the progress phase begins when every branch has said how long it is."""
        self._reporter, self._log = reporter, log
        self._begin = time.monotonic()
        self._ends_at: dict[Branch, float] = dict.fromkeys(branches, self._begin)
        self._starts: dict[Branch, int] = dict.fromkeys(branches, 0)
        self._steps: dict[Branch, int] = dict.fromkeys(branches, 0)
        self._totals: dict[Branch, int] = {}
        self._has_phase = False

    def on_event(self, branch: Branch, event: Mapping[str, Any]) -> None:
        """Take one line of a branch's progress file."""
        self._ends_at[branch] = time.monotonic()
        if "started" in event:
            self._starts[branch] += 1
            if self._starts[branch] > 1:
                self._reporter.note(
                    f"{branch}: a worker was lost or failed; the branch goes on from its last checkpoint"
                )
            return
        if "note" in event:
            self._reporter.note(f"{branch}: {event['note']}")
            return
        if "stopped" in event:
            return
        self._totals.setdefault(branch, event["num_steps"])
        if "validation" in event:
            self._log.log_metrics(
                {f"{branch}/validation_loss/{task}": loss for task, loss in event["validation"].items()}, event["step"]
            )
            return
        self._count(branch, event)

    def wall_s(self, branch: Branch) -> float:
        """Seconds from the start of the workers to the last event of a branch."""
        return self._ends_at[branch] - self._begin

    def num_restarts(self, branch: Branch) -> int:
        """How often a branch was started anew."""
        return max(0, self._starts[branch] - 1)

    def steps(self, branch: Branch) -> int:
        """Steps of a branch that are done."""
        return self._steps[branch]

    def _count(self, branch: Branch, event: Mapping[str, Any]) -> None:
        step, total = event["step"], event["num_steps"]
        if step % -(-total // _MAX_LOGGED) == 0 or step == total:
            self._log.log_metrics(
                {f"{branch}/loss": event["loss"], f"{branch}/learning_rate": event["learning_rate"]}, step
            )
        new = max(0, step - self._steps[branch])  # steps that are repeated after a restart count once
        self._steps[branch] += new
        if self._has_phase:
            self._reporter.advance(new)
        elif len(self._totals) == len(self._steps):
            self._has_phase = True
            self._reporter.phase("train", sum(self._totals.values()))
            self._reporter.advance(sum(self._steps.values()))
