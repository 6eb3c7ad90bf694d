"""Follows a run on a Kubeflow Pipelines endpoint to its end, and takes one up again that has failed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hazardline.errors import UserError

from pipelines.endpoint import LIMIT, Endpoint

SUCCEEDED = "SUCCEEDED"
_FAILED = ("FAILED", "CANCELED")
_ENDED = (SUCCEEDED, "SKIPPED", *_FAILED)
_RETRY_TAKES_S = 60.0
"""How long a run that is tried again may still be shown as it ended before."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    state: str
    error: str | None
    failed_tasks: dict[str, str]
    """Task to its message."""

    @property
    def is_success(self) -> bool:
        """Whether all went well. A closed gate is no failure."""
        return self.state == SUCCEEDED


def watch(
    endpoint: Endpoint, run_id: str, say: Callable[[str], None], poll_s: float = 10.0, after: int | None = None
) -> Ended:
    """Say how far a run is, whenever that changes, until it ends.

    Args:
        endpoint: the endpoint; while it is away the run goes on, and so does the watching, within its patience.
        run_id: the run.
        say: takes one line.
        poll_s: seconds between two looks.
        after: changes of state that the run had before it was tried again; an end among them is an old one.

    Raises:
        UserError: there is no such run, or the endpoint stays away or refuses; the run is not ended by that.
    """
    said: dict[str, str] = {}
    waited_s = 0.0
    while True:
        run = _look(endpoint, run_id)
        for name, state in {**_tasks(run), "run": run.state or "PENDING"}.items():
            if said.get(name) != state:
                said[name] = state
                say(f"{name:<12} {state.lower()}")
        is_old = after is not None and len(run.state_history or []) <= after and waited_s < _RETRY_TAKES_S
        if run.state in _ENDED and not is_old:
            return Ended(run.state, run.error.message if run.error else None, _failures(run))
        endpoint.sleep(poll_s)
        waited_s += poll_s


def resume(endpoint: Endpoint, run_id: str, say: Callable[[str], None], poll_s: float = 10.0) -> Ended:
    """Go on watching a run; one that failed or was cancelled is first tried again, from where it failed.

    Raises:
        UserError: as `watch`, or the endpoint does not try the run again.
    """
    run = _look(endpoint, run_id)
    if run.state not in _FAILED:
        return watch(endpoint, run_id, say, poll_s)
    say(f"run          {run.state.lower()}: trying it again")
    endpoint.tell(lambda client: client.runs.run_service_retry_run(run_id, **LIMIT))
    return watch(endpoint, run_id, say, poll_s, after=len(run.state_history or []))


def _look(endpoint: Endpoint, run_id: str) -> Any:
    try:
        return endpoint.ask(
            lambda client: client.runs.run_service_get_run(run_id, **LIMIT),
            missing=f"{endpoint.name}: knows no run {run_id}; check --resume, and --namespace",
        )
    except UserError as error:
        raise UserError(
            f"{error}. The run is not ended by that: watch it again with `submit --resume {run_id}`"
        ) from None


def _tasks(run: Any) -> dict[str, str]:
    """State of every task that people know; KFP's own drivers and executors are left out."""
    details = (run.run_details.task_details if run.run_details else None) or []
    return {
        task.display_name: task.state
        for task in details
        if task.display_name and task.state and task.display_name not in ("root", "executor")
        if not task.display_name.endswith("-driver") and task.display_name != run.display_name
    }


def _failures(run: Any) -> dict[str, str]:
    details = (run.run_details.task_details if run.run_details else None) or []
    shown = _tasks(run)
    return {
        task.display_name: task.error.message if task.error and task.error.message else "see the log of its pod"
        for task in details
        if task.state == "FAILED" and task.display_name in shown
    }
