"""Versions that passed their gate and wait for a person: put up, looked for, approved.

A version that waits has the tag `hazardline.approval` with the value `waiting`; the alias `waiting` is on the one that
was put up last. Only an approval promotes it: not the line, though its recipe may have become `automatic` since.
"""

from typing import Any

from hazardline.errors import UserError
from hazardline.register.promote import APPROVAL_TAG, WAITS, Change, alias_version, operator, promote, set_alias
from hazardline.tracking import clear_errors, connect


def put_up(model_name: str, version: int) -> None:
    """Have a version wait for approval, and name it `waiting`."""
    client = connect()
    with clear_errors():
        client.set_model_version_tag(model_name, str(version), APPROVAL_TAG, WAITS)
        set_alias(client, model_name, WAITS, version)


def is_waiting(model_name: str, version: int) -> bool:
    """Whether a version waits for approval."""
    return bool(_tags(connect(), model_name, version).get(APPROVAL_TAG) == WAITS)


def approve(model_name: str, version: int | None, why: str, by: str | None = None) -> Change:
    """Make a version champion that waits for approval; the promotion log says who approved.

    Where an approval was killed on its way, the same approval again completes it without a second entry.

    Args:
        model_name: the registered model.
        version: the version; None for the one under the alias `waiting`.
        why: for the log.
        by: who approves; by default user and host. Nobody checks the name; the log has user and host beside it.

    Raises:
        LostRaceError: the champion is another one than the gate saw; nothing was changed, and it goes on waiting.
        UserError: nothing waits, this version does not, or the log was altered.
    """
    client = connect()
    chosen = version if version is not None else alias_version(client, model_name, WAITS)
    if chosen is None:
        raise UserError(f"{model_name}: no version waits for approval")
    if _tags(client, model_name, chosen).get(APPROVAL_TAG) != WAITS:
        raise UserError(f"{model_name} version {chosen}: does not wait for approval")
    approver = by or operator()
    change = promote(model_name, chosen, why, approved_by=approver)
    with clear_errors():
        client.set_model_version_tag(model_name, str(chosen), APPROVAL_TAG, f"approved by {approver}")
        if alias_version(client, model_name, WAITS) == chosen:
            client.delete_registered_model_alias(model_name, WAITS)
    return change


def _tags(client: Any, model_name: str, version: int) -> dict[str, str]:
    with clear_errors():
        found: dict[str, str] = client.get_model_version(model_name, str(version)).tags
    return found
