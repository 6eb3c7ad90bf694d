"""Which kind of accident a description tells of: the family (scenario) of the nearest training description.

The texts come from a closed set, so a reworded but right description would be wrong as a string. The training split
alone says which text belongs to which family; nothing of the test set is used.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from hazardline.evaluate.text import normalised

NO_FAMILY = "none"
MIN_OVERLAP = 0.5
"""The least token F1 with which a text is taken for a training description."""


@dataclass(frozen=True)
class FamilyIndex:
    """Normalised training descriptions, each with the family that it is used for most often."""

    family_of: dict[str, str]

    @classmethod
    def build(cls, examples: Iterable[tuple[str, str]]) -> Self:
        """Learn from (description, family) of the training crashes. Ties go to the first name."""
        uses: dict[str, Counter[str]] = {}
        for text, family in examples:
            uses.setdefault(normalised(text), Counter())[family] += 1
        return cls(
            {text: min(counts, key=lambda family: (-counts[family], family)) for text, counts in sorted(uses.items())}
        )

    def exact(self, text: str) -> str | None:
        """The family of a training description, or None for any other text."""
        return self.family_of.get(normalised(text))

    def family(self, text: str) -> str:
        """The family of the nearest training description, `none` where none is near enough.

        Exact (normalised) match first; else the greatest token F1 of at least `MIN_OVERLAP`, ties to the text that
        comes first in the alphabet.
        """
        found = self.exact(text)
        if found is not None:
            return found
        best, nearest = 0.0, ""
        for known in self.family_of:
            overlap = token_f1(normalised(text), known)
            if overlap > best:
                best, nearest = overlap, known
        return self.family_of[nearest] if best >= MIN_OVERLAP else NO_FAMILY


def token_f1(first: str, second: str) -> float:
    """F1 of the shared tokens of two texts (with repetition), separated by blanks; 0 where either is empty."""
    tokens, others = Counter(first.split()), Counter(second.split())
    shared = sum((tokens & others).values())
    total = tokens.total() + others.total()
    return 2.0 * shared / total if shared else 0.0
