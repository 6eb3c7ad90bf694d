"""Answers that were paid for, by everything that they depend on, below HAZARDLINE_HOME/annotations.

    <root>/answers/<2 hex>/<key>.json   every answer to one question, also those that were of no use
    <root>/locks/<3 hex>.lock           held while a question of these keys is asked
    <root>/accounts/<scope>.json        what was spent (`ledger`)

An answer is written whole, at once. Locks are `flock`s of a file opened anew each time: they part threads as well as
processes, and the kernel drops them with their process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hazardline.documents import Document
from hazardline.synthesize.endpoint.client import Mode
from hazardline.synthesize.endpoint.replies import Outcome


class Attempt(Document):
    """One answer that was paid for."""

    outcome: Outcome
    detail: str
    content: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int
    """At the prices of the day, in 10^-9 USD."""
    seed: int
    structured: Mode
    model: str
    """As the endpoint names it."""
    system_fingerprint: str


class Answers(Document):
    """What was asked (as in the key) and every answer, in order; the last one decides."""

    version: Literal["annotation@1"] = "annotation@1"
    asked: dict[str, Any]
    attempts: list[Attempt]

    @property
    def last(self) -> Attempt | None:
        """The last answer, if there is one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def is_answered(self) -> bool:
        """Whether the last answer is of use."""
        return self.last is not None and self.last.outcome == "answered"


class AnswerCache:
    """Answers by key, below one folder."""

    def __init__(self, root: Path) -> None:
        """Use a folder, which need not exist yet."""
        self._root = root

    def path(self, key: str) -> Path:
        """Where the answers to a question are."""
        return self._root / "answers" / key[:2] / f"{key}.json"

    def find(self, key: str) -> Answers | None:
        """The answers to a question so far, if it was asked before.

        Raises:
            UserError: the file is damaged; the message names it.
        """
        path = self.path(key)
        return Answers.read(path) if path.exists() else None

    def keep(self, key: str, answers: Answers) -> None:
        """Write the answers to a question, safe against a power cut."""
        answers.write(self.path(key))

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the right to ask a question, after waiting for whoever has it."""
        folder = self._root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / f"{key[:3]}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
