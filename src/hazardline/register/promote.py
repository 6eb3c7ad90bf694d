"""Who is champion: promotion and rollback, one at a time, each with an entry in the promotion log.

Aliases of the registered model: `candidate` is the version registered last, `champion` the one in use, `previous` the
one that a rollback leads to, `waiting` the one that a person is asked about (`approval`). MLflow's stages are
deprecated and not used.

A promotion is valid against one champion: the one that the gate compared the candidate with. Order of work:

1. take the operating-system lock of the model (promoters on one machine stand in line);
2. compare the alias `champion` with the champion that the gate saw: another one, and this promotion has lost;
3. add the entry to the log (`ledger`): of two machines that got this far, the registry lets one through, whichever
   replicas of an MLflow server they speak to;
4. move `previous`, then `champion`; look at the log again, and if it went on meanwhile, follow it.

Dying before 4, or within it, leaves the old champion. The next promoter sees a log that leads to a version which is
not champion, waits `SETTLE_S` for its writer to finish, and then goes on from where the aliases really are; the same
promotion tried again is completed without a second entry.

Limits. MLflow cannot move an alias on a condition: a promoter that is stopped for longer than `SETTLE_S` exactly
between its last look at the log and its request to move the alias overwrites a later promotion when it wakes; it then
looks at the log and moves the aliases to where the log leads, so the wrong champion stands for the length of two
requests. A person who moves an alias in the UI is not stopped; the next entry of the log shows it in `from_version`.
Both need write access to the registry, which this code cannot guard. The copy of the log is checked on the machines
that have one: a machine that promotes for the first time believes the registry.
"""

import getpass
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from hazardline.errors import UserError
from hazardline.register.config import MODEL_NAME_PATTERN
from hazardline.register.ledger import Entry, Ledger, LostRaceError, head_digest, previous_champion
from hazardline.tracking import ask_patiently, clear_errors, connect, file_lock

SETTLE_S = 10.0
"""How long a promoter waits for another one that has written its entry and not yet moved the aliases."""
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
GATE_TAG = "hazardline.gate"
"""`open` or `closed`: the gate's decision on a version."""
SEEN_TAG = "hazardline.champion_seen"
"""The champion's version that the gate compared with, or `none`."""
DECISION_TAG = "hazardline.decision_digest"
APPROVAL_TAG = "hazardline.approval"
"""`waiting`, or who approved; absent where nobody need be asked."""
WAITS = "waiting"
"""Value of that tag, and the alias of the version that was put up last."""
_NO_VERSION = "none"
_POLL_S = 0.1


@dataclass(frozen=True)
class Change:
    """What a promotion or a rollback did."""

    model_name: str
    champion: int
    previous: int | None
    entry: Entry | None
    """None where the version was champion already and nothing was done."""


def promote(
    model_name: str,
    version: int,
    why: str,
    who: str | None = None,
    settle_s: float = SETTLE_S,
    approved_by: str | None = None,
) -> Change:
    """Make a version champion, if the gate let it pass and the champion is still the one that the gate saw.

    Args:
        model_name: the registered model.
        version: one of its versions.
        why: for the log.
        who: for the log; by default user and host.
        settle_s: how long to wait for a promotion in progress elsewhere.
        approved_by: the person who approved a version that waits for that; for the log.

    Raises:
        LostRaceError: the champion is another one by now; nothing was changed.
        UserError: no such version, its gate is closed, it waits for approval, or the log was altered.
    """
    with _at_work(model_name) as (client, ledger):
        target = _version(client, model_name, version)
        if target.tags.get(GATE_TAG) != "open":
            raise UserError(f"{model_name} version {version}: its gate is not open, so it cannot be promoted")
        entries = ledger.read()
        if entries and (entries[-1].action, entries[-1].to_version) == ("promote", version):
            settle_s = 0.0  # the log leads here already: its writer is finishing, or died and is finished for
        entries, champion = _settled(client, model_name, ledger, settle_s)
        if champion == version:
            return Change(model_name, version, alias_version(client, model_name, PREVIOUS), None)
        last = entries[-1] if entries else None
        if last and (last.action, last.from_version, last.to_version) == ("promote", champion, version):
            return _follow(client, ledger, entries)
        if target.tags.get(APPROVAL_TAG) == WAITS and approved_by is None:
            raise UserError(
                f"{model_name} version {version}: waits for approval; look at it, then promote it with "
                f"`hazardline register promote --approve {version} --model {model_name} --why ...`"
            )
        seen = version_seen(target.tags)
        if champion != seen:
            raise LostRaceError(
                f"{model_name}: version {version} passed its gate against {champion_words(seen)}, but now "
                f"{champion_words(champion)} is in place; run the gate again against it"
            )
        entry = _entry(model_name, "promote", champion, target, entries, who, why, approved_by)
        return _follow(client, ledger, ledger.append(entry, target.source, target.run_id))


def rollback(model_name: str, why: str, who: str | None = None, settle_s: float = SETTLE_S) -> Change:
    """Make the version under the alias `previous` champion again.

    A second rollback leads one further back; where there is nothing further back, `previous` is removed.

    Raises:
        LostRaceError: the champion changed while this rollback waited; nothing was changed.
        UserError: there is no champion or no previous one, or the log was altered.
    """
    seen = alias_version(connect(), _valid_name(model_name), CHAMPION)
    with _at_work(model_name) as (client, ledger):
        entries, champion = _settled(client, model_name, ledger, settle_s)
        if champion != seen:
            raise LostRaceError(
                f"{model_name}: {champion_words(champion)} came into place while the rollback of "
                f"{champion_words(seen)} waited; look again, then decide"
            )
        previous = alias_version(client, model_name, PREVIOUS)
        if champion is None or previous is None or previous == champion:
            raise UserError(
                f"{model_name}: nothing to roll back to (champion: {champion or _NO_VERSION}, previous: "
                f"{previous or _NO_VERSION}); promote a version instead"
            )
        target = _version(client, model_name, previous)
        entry = _entry(model_name, "rollback", champion, target, entries, who, why)
        return _follow(client, ledger, ledger.append(entry, target.source, target.run_id))


def history(model_name: str) -> list[Entry]:
    """The promotion log, oldest entry first, checked.

    Raises:
        UserError: the log was altered, or MLflow cannot be reached.
    """
    with _at_work(model_name) as (_, ledger):
        return ledger.read()


def alias_version(client: Any, model_name: str, alias: str) -> int | None:
    """The version under an alias, or None (also where the model does not exist)."""
    from mlflow.exceptions import MlflowException

    with clear_errors():
        try:
            found = client.get_registered_model(model_name).aliases.get(alias)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = None
    return None if found is None else int(found)


def set_alias(client: Any, model_name: str, alias: str, version: int) -> None:
    """Let an alias name a version, whatever it named before; MLflow's errors as they are."""
    ask_patiently(lambda: client.set_registered_model_alias(model_name, alias, str(version)))


def seen_text(version: int | None) -> str:
    """A champion's version as it stands in `SEEN_TAG`."""
    return _NO_VERSION if version is None else str(version)


def version_seen(tags: dict[str, str]) -> int | None:
    """The champion's version in `SEEN_TAG`.

    Raises:
        UserError: the version carries no such tag.
    """
    text = tags.get(SEEN_TAG, "")
    if text != _NO_VERSION and not text.isdecimal():
        raise UserError(f"the version has no tag {SEEN_TAG}; register it with the register stage")
    return None if text == _NO_VERSION else int(text)


def champion_words(version: int | None) -> str:
    """`champion version 3`, or `no champion`."""
    return "no champion" if version is None else f"champion version {version}"


@contextmanager
def _at_work(model_name: str) -> Iterator[tuple[Any, Ledger]]:
    client = connect()
    ledger = Ledger(client, _valid_name(model_name))
    with file_lock(ledger.lock):
        yield client, ledger


def _valid_name(model_name: str) -> str:
    if not re.fullmatch(MODEL_NAME_PATTERN, model_name):
        raise UserError(f"model name {model_name!r}: expected letters, digits and _.-, at most 200")
    return model_name


def _version(client: Any, model_name: str, version: int) -> Any:
    with clear_errors():
        return client.get_model_version(model_name, str(version))


def _settled(client: Any, model_name: str, ledger: Ledger, settle_s: float) -> tuple[list[Entry], int | None]:
    """Log and champion, after a promotion in progress elsewhere has ended or was given up.

    The log is read before the champion, and the new entry must extend exactly this reading of it: whatever happens
    after the reading makes that entry lose.
    """
    give_up_at = time.monotonic() + settle_s
    while True:
        entries = ledger.read()
        champion = alias_version(client, model_name, CHAMPION)
        last = entries[-1] if entries else None
        is_in_progress = last is not None and last.to_version != champion == last.from_version
        if not is_in_progress or time.monotonic() >= give_up_at:
            return entries, champion
        time.sleep(_POLL_S)


def _entry(
    model_name: str,
    action: Literal["promote", "rollback"],
    champion: int | None,
    target: Any,
    entries: list[Entry],
    who: str | None,
    why: str,
    approved_by: str | None = None,
) -> Entry:
    return Entry(
        model_name=model_name,
        sequence=len(entries) + 1,
        action=action,
        from_version=champion,
        to_version=int(target.version),
        who=who or operator(),
        when=datetime.now(UTC).isoformat(timespec="milliseconds"),
        why=why,
        approved_by=approved_by,
        decision_digest=target.tags.get(DECISION_TAG),
        nonce=uuid.uuid4().hex,
        previous_digest=head_digest(entries),
    )


def operator() -> str:
    """Who runs this: user and host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a numeric user without a name, as in containers
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _follow(client: Any, ledger: Ledger, entries: list[Entry]) -> Change:
    """Move the aliases to where the log leads, until it has not gone on meanwhile."""
    mine = entries[-1]
    while True:
        last, previous = entries[-1], previous_champion(entries)
        with clear_errors():
            if last.action == "promote" and previous is not None:
                set_alias(client, last.model_name, PREVIOUS, previous)
            set_alias(client, last.model_name, CHAMPION, last.to_version)
            if last.action == "rollback" and previous is not None:
                set_alias(client, last.model_name, PREVIOUS, previous)
            elif previous is None:
                client.delete_registered_model_alias(last.model_name, PREVIOUS)
        after = ledger.read()
        if head_digest(after) == head_digest(entries):
            return Change(mine.model_name, last.to_version, previous, mine)
        entries = after
