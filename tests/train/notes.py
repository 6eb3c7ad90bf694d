"""A reporter that counts."""

from collections import Counter


class Notes:
    """Keeps phases, units by phase and notes."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.said: list[str] = []
        self._phase = ""

    def phase(self, name: str, total: int = 0) -> None:
        self._phase = name
        self.totals[name] = total

    def advance(self, n: int = 1) -> None:
        self.done[self._phase] += n

    def note(self, text: str) -> None:
        self.said.append(text)
