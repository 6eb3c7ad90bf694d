"""Rate limits: so many requests and tokens a minute, for all threads together."""

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """Fills evenly up to a minute's worth; who takes from it waits until there is enough."""

    def __init__(
        self,
        per_minute: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin with a tenth of a minute's worth, or one: a burst of a whole minute's is what endpoints refuse."""
        self._per_s, self._capacity = per_minute / 60, per_minute
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._level, self._at = max(1.0, per_minute / 10), clock()

    def take(self, amount: float) -> float:
        """Take an amount, after waiting for it; returns the seconds waited.

        Takers are served in the order in which they come: each books its share at once, be it a debt, and sleeps
        until that is paid. An amount above a minute's worth is a debt that all wait for.
        """
        with self._lock:
            self._fill()
            self._level -= amount
            wait_s = max(0.0, -self._level / self._per_s)
        if wait_s > 0:
            self._sleep(wait_s)
        return wait_s

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used, or take what was used beyond it (a negative amount)."""
        with self._lock:
            self._fill()
            self._level = min(self._capacity, self._level + amount)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._at) * self._per_s)
        self._at = now
