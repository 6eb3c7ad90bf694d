"""The promotion log: an append-only, hash-chained list of changes of champion, which two writers cannot both extend.

MLflow keeps no history of aliases, and setting an alias or a tag overwrites without a comparison. The one thing that
its registry does atomically is to number the versions of a model: name and number are the primary key of their table,
and a server that loses the number asks for the next one. So the log is itself a registered model,
`<model>.promotions`: each version of it is one entry, written whole in the request that creates it, and the server (or
the database) puts the entries of all machines into one order. An entry names the digest of the entry before it. Read
in order, an entry counts if and only if it names the last entry that counts; of two entries that extend the same one,
the first counts and the second is a lost race that stays visible. That is a compare-and-swap, and it is also the hash
chain.

A copy of the counting entries lies on this machine as JSON lines. An entry altered or deleted in the registry breaks
the chain; a log cut short or rewritten as a whole no longer begins with the copy. Both are refused.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import canonical_json, sha256_bytes, write_atomic
from hazardline.register.versions import all_versions
from hazardline.tracking import ask_patiently, clear_errors, mlflow_home, public_uri, tracking_uri

ENTRY_TAG = "hazardline.promotion"


class LostRaceError(UserError):
    """Another promotion came first; nothing was changed by this one."""


class Entry(Document):
    """One change of champion: who, what, when, why."""

    version: Literal["promotion@1"] = "promotion@1"
    model_name: str
    sequence: Annotated[int, Field(ge=1)]
    """1 for the first entry, then without gaps."""
    action: Literal["promote", "rollback"]
    from_version: int | None
    """The champion before, as the registry had it; None if there was none."""
    to_version: int
    who: str
    when: str
    """UTC, ISO 8601, by the clock of the machine that wrote it."""
    why: str
    approved_by: str | None = Field(default=None, exclude_if=lambda who: who is None)
    """Who approved, where a version had to wait for that; the name is the approver's own word."""
    decision_digest: str | None
    """Digest of the gate's decision on `to_version`."""
    nonce: str
    """Random, so that no two entries are alike."""
    previous_digest: str
    """Digest of the entry before; empty for the first."""


def counting(entries: Sequence[Entry], origin: str) -> list[Entry]:
    """The entries that count, of all entries in the registry's order.

    Raises:
        UserError: an entry was altered or deleted, so that another one's predecessor cannot be found.
    """
    found: list[Entry] = []
    heads = {""}
    for entry in entries:
        if entry.previous_digest == head_digest(found) and entry.sequence == len(found) + 1:
            found.append(entry)
            heads.add(entry.digest())
        elif entry.previous_digest not in heads:
            raise UserError(
                f"{origin}: the entry after number {len(found)} follows an entry that is not there: the log was "
                f"altered. Compare it with the copies of other machines before you promote anything"
            )
    return found


def head_digest(entries: Sequence[Entry]) -> str:
    """The digest that the next entry must name."""
    return entries[-1].digest() if entries else ""


def previous_champion(entries: Sequence[Entry]) -> int | None:
    """The version to which a rollback would lead after these entries: what was champion before the champion.

    A promotion puts a version on top of the ones before, a rollback takes the top away. Where the registry did not
    stand where the entry before had led (its writer died, or the alias was moved by hand), the registry is believed.
    """
    stack: list[int] = []
    for entry in entries:
        if entry.from_version in stack:
            while stack[-1] != entry.from_version:
                stack.pop()
        elif entry.from_version is not None:
            stack.append(entry.from_version)
        if entry.action == "rollback" and stack:
            stack.pop()
        if entry.action == "promote" or not stack or stack[-1] != entry.to_version:
            stack.append(entry.to_version)
    return stack[-2] if len(stack) > 1 else None


def was_rolled_back(entries: Sequence[Entry], version: int) -> bool:
    """Whether a person took this version out of use and nobody has put it back."""
    for entry in reversed(entries):
        if entry.to_version == version:
            return False
        if entry.action == "rollback" and entry.from_version == version:
            return True
    return False


class Ledger:
    """The promotion log of one model in the registry, and its copy on this machine."""

    def __init__(self, client: Any, model_name: str) -> None:
        """Bind to a log; nothing is created before the first entry."""
        self._client = client
        self._model_name = model_name
        self._name = f"{model_name}.promotions"
        place = public_uri(tracking_uri())
        self._origin = f"promotion log {self._name} at {place}"
        folder = mlflow_home() / "promotions" / sha256_bytes(place.encode())[:12]
        self.copy = folder / f"{model_name}.jsonl"
        self.lock = folder / f"{model_name}.lock"

    def read(self) -> list[Entry]:
        """The entries that count, checked against the copy, which is brought up to date.

        Raises:
            UserError: the log was altered, or is not the one of which this machine has a copy.
        """
        entries = counting(self._all_entries(), self._origin)
        lines = [canonical_json(entry.data()) for entry in entries]
        known = self.copy.read_bytes().splitlines() if self.copy.is_file() else []
        for number, line in enumerate(known, start=1):
            if number > len(lines) or lines[number - 1] != line:
                raise UserError(
                    f"{self._origin}: differs from this machine's copy {self.copy} at entry {number}. If the registry "
                    f"was replaced or restored on purpose, move the copy away; if not, someone rewrote the log"
                )
        if len(lines) > len(known):
            write_atomic(self.copy, b"".join(line + b"\n" for line in lines))
        return entries

    def append(self, entry: Entry, source: str, run_id: str) -> list[Entry]:
        """Add an entry; returns the log with it as the last one that counts.

        Args:
            entry: it names the head of the log as its writer saw it.
            source: artifacts of `to_version`, which MLflow wants of every version.
            run_id: the run of these artifacts.

        Raises:
            LostRaceError: another entry was added in between; this one does not count.
        """
        sentence = f"{entry.action}: version {entry.from_version} -> {entry.to_version}, by {entry.who}: {entry.why}"
        tags = {ENTRY_TAG: canonical_json(entry.data()).decode()}
        with clear_errors():
            self._create()
            ask_patiently(
                lambda: self._client.create_model_version(self._name, source, run_id, tags=tags, description=sentence)
            )
        entries = self.read()
        if entry.digest() not in {each.digest() for each in entries}:
            winner = entries[entry.sequence - 1]
            raise LostRaceError(
                f"{self._model_name}: version {entry.to_version} lost the race: {winner.who} was first and made "
                f"version {winner.to_version} champion ({winner.why})"
            )
        return entries

    def _create(self) -> None:
        from mlflow.exceptions import MlflowException

        text = f"Promotion log of {self._model_name}: one version is one change of champion. Do not edit or delete."
        try:
            self._client.create_registered_model(self._name, {"hazardline.kind": "promotion_log"}, text)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _all_entries(self) -> list[Entry]:
        rows = all_versions(self._client, self._name)
        return [Entry.parse_json(row.tags.get(ENTRY_TAG, ""), f"{self._origin}, version {row.version}") for row in rows]
