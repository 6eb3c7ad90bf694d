"""Recurring runs of a Kubeflow Pipelines endpoint, by name: what is wanted is compared with what is there.

KFP has no call that changes a recurring run. One that is to be another is made anew, disabled; then the old one goes,
then the new one is enabled: whenever that is cut off, at most one of them runs, and the next call puts it right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import kfp_server_api

from hazardline.errors import UserError

from pipelines.endpoint import LIMIT, Endpoint
from pipelines.package import Package
from pipelines.submission import Uploaded, experiment_id, named

ENABLE, DISABLE = kfp_server_api.RecurringRunMode.ENABLE, kfp_server_api.RecurringRunMode.DISABLE
_ENABLED_STATUS = "ENABLED"
Change = Literal["made", "replaced", "enabled", "disabled", "removed", "unchanged"]


@dataclass(frozen=True)
class Schedule:
    """When which version of a pipeline is run."""

    name: str
    cron: str
    package: Package
    uploaded: Uploaded
    experiment: str
    service_account: str
    is_enabled: bool = True


@dataclass(frozen=True)
class Listed:
    """A recurring run as the endpoint shows it."""

    name: str
    cron: str
    is_enabled: bool
    description: str


def reconcile(endpoint: Endpoint, wanted: Schedule) -> Change:
    """Have one recurring run of that name, as it is wanted: no catching up, one run at a time.

    Raises:
        UserError: the endpoint refuses or was lost; calling again puts right what was left.
    """
    body = _body(wanted, experiment_id(endpoint, wanted.experiment))
    found = _named(endpoint, wanted.name)
    kept = next((run for run in found if _is_alike(run, body)), None)
    others = [run for run in found if run is not kept]
    change: Change = "unchanged"
    if kept is None:
        body.mode = DISABLE if others else _mode(wanted.is_enabled)
        kept = endpoint.tell(
            lambda client: client.recurring_runs.recurring_run_service_create_recurring_run(recurring_run=body, **LIMIT)
        )
        if kept is None:
            raise UserError(f"{endpoint.name}: another client is changing the schedule {wanted.name}; try again")
        change = "replaced" if others else "made"
    for run in others:
        _remove(endpoint, run)
        change = "replaced"
    if _is_enabled(kept) != wanted.is_enabled:
        _set_enabled(endpoint, kept, wanted.is_enabled)
        if change == "unchanged":
            change = "enabled" if wanted.is_enabled else "disabled"
    return change


def disable(endpoint: Endpoint, name: str) -> Change:
    """Stop a schedule without removing it.

    Raises:
        UserError: there is none of that name, or the endpoint refuses or was lost.
    """
    running = [run for run in _existing(endpoint, name) if _is_enabled(run)]
    for run in running:
        _set_enabled(endpoint, run, False)
    return "disabled" if running else "unchanged"


def remove(endpoint: Endpoint, name: str) -> Change:
    """Remove a schedule; its runs stay.

    Raises:
        UserError: there is none of that name, or the endpoint refuses or was lost.
    """
    for run in _existing(endpoint, name):
        _remove(endpoint, run)
    return "removed"


def list_all(endpoint: Endpoint) -> list[Listed]:
    """All recurring runs of the namespace, by name."""
    found = [
        Listed(run.display_name, _cron(run) or "at intervals", _is_enabled(run), run.description or "")
        for run in _pages(endpoint, None)
    ]
    return sorted(found, key=lambda run: run.name)


def _body(wanted: Schedule, experiment: str) -> kfp_server_api.V2beta1RecurringRun:
    return kfp_server_api.V2beta1RecurringRun(
        display_name=wanted.name,
        description=f"{wanted.package.name} {wanted.package.version}",
        experiment_id=experiment,
        pipeline_version_reference=wanted.uploaded.reference(),
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=wanted.cron)),
        service_account=wanted.service_account,
        max_concurrency="1",
        no_catchup=True,
    )


def _is_alike(run: Any, body: Any) -> bool:
    """Whether a recurring run does what is wanted, whether or not it is enabled."""
    reference = run.pipeline_version_reference
    return bool(
        _cron(run) == _cron(body)
        and reference is not None
        and reference.pipeline_version_id == body.pipeline_version_reference.pipeline_version_id
        and run.experiment_id == body.experiment_id
        and run.service_account == body.service_account
        and str(run.max_concurrency) == body.max_concurrency
        and run.no_catchup
        and not (run.runtime_config and run.runtime_config.parameters)
    )


def _cron(run: Any) -> str | None:
    schedule = run.trigger.cron_schedule if run.trigger else None
    return schedule.cron if schedule else None


def _mode(is_enabled: bool) -> str:
    return str(ENABLE if is_enabled else DISABLE)


def _is_enabled(run: Any) -> bool:
    """Status tells what holds now; the mode, where a server gives no status, what was asked for."""
    return bool(run.status == _ENABLED_STATUS if run.status else run.mode == ENABLE)


def _existing(endpoint: Endpoint, name: str) -> Sequence[Any]:
    found = _named(endpoint, name)
    if not found:
        raise UserError(f"{endpoint.name}: has no schedule {name}; `schedule --list` shows those that it has")
    return found


def _named(endpoint: Endpoint, name: str) -> list[Any]:
    return [run for run in _pages(endpoint, named(name)) if run.display_name == name]


def _pages(endpoint: Endpoint, matching: str | None) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        asked = {"filter": matching, "page_size": 100, "page_token": token, "namespace": endpoint.namespace}
        given = {key: value for key, value in asked.items() if value}
        answer = endpoint.ask(
            lambda client, given=given: client.recurring_runs.recurring_run_service_list_recurring_runs(
                **given, **LIMIT
            )
        )
        found += answer.recurring_runs or []
        token = answer.next_page_token
        if not token:
            return found


def _set_enabled(endpoint: Endpoint, run: Any, is_enabled: bool) -> None:
    verb = "enable" if is_enabled else "disable"
    endpoint.tell(
        lambda client: getattr(client.recurring_runs, f"recurring_run_service_{verb}_recurring_run")(
            run.recurring_run_id, **LIMIT
        )
    )


def _remove(endpoint: Endpoint, run: Any) -> None:
    endpoint.tell(
        lambda client: client.recurring_runs.recurring_run_service_delete_recurring_run(run.recurring_run_id, **LIMIT)
    )
