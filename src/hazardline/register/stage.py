"""The register stage: records the candidate as a model version and, where the gate is open, makes it champion."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.evaluate.document import EVALUATION_NAME, Evaluation
from hazardline.progress import Reporter
from hazardline.register.approval import is_waiting, put_up
from hazardline.register.config import RegisterConfig
from hazardline.register.ledger import LostRaceError, was_rolled_back
from hazardline.register.lineage import read_lineage
from hazardline.register.model import ModelVersion, register
from hazardline.register.promote import (
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    WAITS,
    alias_version,
    champion_words,
    history,
    promote,
)
from hazardline.tracking import connect, file_lock, mlflow_home, open_run, public_uri, tracking_uri

REGISTRATION_NAME = "registration.json"
Outcome = Literal[
    "promoted",
    "already_champion",
    "gate_closed",
    "waits_for_approval",
    "promotion_not_asked",
    "was_rolled_back",
    "lost_race",
]


class Registration(Document):
    """What became of a candidate (`registration.json`)."""

    format: Literal["registration@1"] = "registration@1"
    name: str
    version: int
    """Number of the model version."""
    is_new: bool
    """False where the same candidate was registered before."""
    aliases: tuple[str, ...]
    """Aliases of this version when the stage ended."""
    promoted: bool
    """Whether this version is the champion now."""
    outcome: Outcome
    reason: str
    run_id: str
    tracking_uri: str
    """Address of MLflow without credentials."""


def run(config: RegisterConfig, inputs: Mapping[str, Path], out: Path, reporter: Reporter) -> dict[str, Any]:
    """Register the candidate and promote it if the gate, the recipe and the other promoters let it.

    Returns:
        The registration document as plain data.

    Raises:
        UserError: the inputs do not belong together, or MLflow cannot be reached.
    """
    reporter.phase("digest", 1)
    lineage, decision = read_lineage(config, inputs)
    reporter.advance()
    reporter.phase("register", 1)
    client = connect()
    lock = mlflow_home() / f"register-{config.model_name}.lock"
    with file_lock(lock), open_run("register", lineage.key()) as tracked:
        candidate = Evaluation.read(inputs["evaluate"] / EVALUATION_NAME).metrics.get("candidate", {})
        tracked.log_metrics({f"candidate.{name}": found.value for name, found in candidate.items()})
        found = register(client, tracked, config, inputs, lineage, decision)
    reporter.advance()
    outcome, reason = _promote(config, found, lineage.is_gate_open, lineage.policy_name)
    reporter.note(f"{found.name} version {found.version}: {reason}")
    registration = Registration(
        name=found.name,
        version=found.version,
        is_new=found.is_new,
        aliases=tuple(
            alias
            for alias in (CANDIDATE, CHAMPION, PREVIOUS, WAITS)
            if alias_version(client, found.name, alias) == found.version
        ),
        promoted=outcome in ("promoted", "already_champion"),
        outcome=outcome,
        reason=reason,
        run_id=found.run_id,
        tracking_uri=public_uri(tracking_uri()),
    )
    registration.write(out / REGISTRATION_NAME)
    return registration.data()


def _promote(config: RegisterConfig, found: ModelVersion, is_gate_open: bool, policy: str) -> tuple[Outcome, str]:
    if not is_gate_open:
        return "gate_closed", f"not promoted: the gate is closed ({policy}); the reasons are in decision.json"
    if not config.promote:
        return "promotion_not_asked", "not promoted: the recipe only registers (register.promote is false)"
    if was_rolled_back(history(found.name), found.version):
        return "was_rolled_back", "not promoted: it was champion and was rolled back; only a person puts it back"
    if not _is_champion(found) and (config.approval == "manual" or is_waiting(found.name, found.version)):
        put_up(found.name, found.version)
        return "waits_for_approval", f"not promoted: version {found.version} waits for approval"
    try:
        change = promote(found.name, found.version, why=f"passed {policy}")
    except LostRaceError as error:
        return "lost_race", f"not promoted: {error}"
    if change.champion != found.version:
        return "lost_race", f"promoted, and replaced at once by {champion_words(change.champion)}"
    if change.entry is None:
        return "already_champion", "is the champion already"
    before = champion_words(change.entry.from_version)
    return "promoted", f"promoted to champion: passed {policy}; before it there was {before}"


def _is_champion(found: ModelVersion) -> bool:
    return alias_version(connect(), found.name, CHAMPION) == found.version
