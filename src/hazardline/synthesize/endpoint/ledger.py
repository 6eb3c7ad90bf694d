"""The account of what annotations cost: a budget that no run and no two runs together pass.

Before a request is sent its worst case is booked; when the answer is there, what it cost takes that place. The account
is a file under a lock, so that processes share it. What a killed process had in flight stays booked at its worst: the
endpoint may have charged for it.
"""

import fcntl
import math
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hazardline.documents import Document
from hazardline.synthesize.endpoint.config import EndpointConfig

NANO = 1_000_000_000


class Account(Document):
    """Money in 10^-9 USD, so that sums are exact."""

    version: str = "annotation-account@1"
    spent_nano_usd: int
    booked_nano_usd: dict[str, int]
    """Worst case of each request in flight, or lost in flight."""

    @property
    def total(self) -> int:
        """What was or may have been spent."""
        return self.spent_nano_usd + sum(self.booked_nano_usd.values())


class BudgetSpent(Exception):
    """The next request might pass the budget."""


def cost_nano_usd(config: EndpointConfig, prompt_tokens: int, completion_tokens: int) -> int:
    """Price of tokens in 10^-9 USD, rounded up."""
    usd_per_million = prompt_tokens * config.usd_per_million_input + completion_tokens * config.usd_per_million_output
    return math.ceil(usd_per_million * 1000)


class Ledger:
    """The account of one way of asking (model, wording, sampling). Threads and processes may share it."""

    def __init__(self, folder: Path, scope: str, budget_usd: float) -> None:
        """Keep the account `<folder>/<scope>.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._lock_path = folder / f"{scope}.json", folder / f"{scope}.lock"
        self._budget = math.floor(budget_usd * NANO)
        self._settled = threading.Condition()
        self._num_in_flight = 0

    def book(self, worst_nano_usd: int) -> str:
        """Book the worst case of a request before it is sent; waits for others in flight that may turn out cheaper.

        Returns:
            A name for `settle`.

        Raises:
            BudgetSpent: the request might pass the budget, and none of this process is in flight.
        """
        name = secrets.token_hex(8)
        with self._settled:
            while True:
                with self._account() as account:
                    if account.total + worst_nano_usd <= self._budget:
                        booked = {**account.booked_nano_usd, name: worst_nano_usd}
                        account.model_copy(update={"booked_nano_usd": booked}).write(self._path)
                        self._num_in_flight += 1
                        return name
                if self._num_in_flight == 0:
                    raise BudgetSpent
                self._settled.wait()

    def settle(self, name: str, cost_nano_usd: int) -> None:
        """Put what a request cost in the place of its worst case."""
        with self._settled:
            with self._account() as account:
                booked = {other: worst for other, worst in account.booked_nano_usd.items() if other != name}
                spent = account.spent_nano_usd + cost_nano_usd
                account.model_copy(update={"spent_nano_usd": spent, "booked_nano_usd": booked}).write(self._path)
            self._num_in_flight -= 1
            self._settled.notify_all()

    def account(self) -> Account:
        """How the account stands."""
        with self._account() as account:
            return account

    @contextmanager
    def _account(self) -> Iterator[Account]:
        """The account as it stands, held against other processes."""
        handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            empty = Account(spent_nano_usd=0, booked_nano_usd={})
            yield Account.read(self._path) if self._path.exists() else empty
        finally:
            os.close(handle)
