"""The documents around a decision: who the champion is, and what was decided and why."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.evaluate.document import Identity
from hazardline.gate.policy import Rule

DECISION_NAME = "decision.json"
CHAMPION_NAME = "champion.json"


class ChampionNote(Document):
    """Which model version a champion's evaluation folder belongs to (`champion.json` in that folder)."""

    version: Literal["champion@1"] = "champion@1"
    model_name: str
    model_version: Annotated[int, Field(ge=1)] | None
    """None: the registry has no champion, and the folder holds nothing else."""


class Reason(Document):
    """One rule, the numbers it looked at, and what came of it."""

    rule: Rule
    passed: bool
    sentence: str
    numbers: dict[str, float]
    """Every number that decided, by name; empty where something was missing."""


class Decision(Document):
    """What the gate decided (`decision.json`)."""

    version: Literal["decision@1"] = "decision@1"
    passed: bool
    policy_name: str
    policy_digest: str
    evaluation_digest: str
    """Of the candidate's evaluation document."""
    candidate: Identity
    champion_version: int | None
    """The model version that was champion when this was decided: a promotion is valid against this one only."""
    champion: Identity | None
    reasons: tuple[Reason, ...]
