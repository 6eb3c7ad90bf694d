"""Road users by the words that name them: which kinds a text speaks of, and which kinds an annotation knows."""

import re
from collections.abc import Iterable

_WORDS: dict[str, tuple[str, ...]] = {
    "car": ("car", "sedan", "suv", "taxi", "cab", "jeep", "hatchback", "limousine"),
    "van": ("van", "minivan"),
    "truck": ("truck", "lorry", "lorries", "semi-trailer", "semitrailer"),
    "bus": ("bus", "buses", "minibus", "minibuses"),
    "tram": ("tram", "train"),
    "pedestrian": ("pedestrian", "jaywalker"),
    "cyclist": ("cyclist", "bicyclist", "bicycle"),
    "motorcycle": ("motorcycle", "motorcyclist", "motorbike", "scooter", "moped", "motor-bike"),
    "tricycle": ("tricycle", "rickshaw"),
    "animal": ("animal", "dog", "deer", "cow", "horse"),
}
"""The words of each kind; a plural `s` is understood. Vague ones (vehicle, driver, bike) name no kind."""
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words}
_MENTION = re.compile(rf"\b({'|'.join(sorted(map(re.escape, _KIND_OF), key=len, reverse=True))})s?\b")
_EGO = re.compile(r"\b(ego|own|our|my|host|recording|camera)[- ](car|vehicle|truck|bus|van)s?\b")
_PLACE = re.compile(
    r"\b(?:(?:pedestrian|bus|bicycle|bike|cyclist|truck|train|tram|animal|deer)s? "
    r"(?:crossing|lane|path|bridge|signal|light|zone|area|walkway|station|track|line|sign|shelter)s?"
    r"|(?:bus|tram) stops?|car parks?)\b"
)
"""Parts of a road that are named after a road user."""
_CLAUSE = re.compile(r"[.;,:!?]|\bbut\b")
_NOT_THERE = re.compile(r"\b(no|not|without|never|neither|nor|none|absent)\b")
_ONLY_POSSIBLE = re.compile(r"\b(if|may|might|could|would|should|possible|potential)\b")

_KNOWN: dict[str, frozenset[str]] = {
    **{word: frozenset({kind}) for word, kind in _KIND_OF.items()},
    "person": frozenset({"pedestrian"}),
    "people": frozenset({"pedestrian"}),
    "bike": frozenset({"cyclist", "motorcycle"}),
    "rider": frozenset({"cyclist", "motorcycle"}),
    "vehicle": frozenset({"car", "van", "truck", "bus", "tram", "motorcycle", "tricycle"}),
    "open-tricycle": frozenset({"tricycle"}),
    "closed-tricycle": frozenset({"tricycle"}),
}
_ALIKE = frozenset({"car", "van", "truck"})
"""What one writer calls a van is another's car, and another's truck: a van is known wherever one of them is."""


def kinds_named(text: str) -> set[str]:
    """Kinds that a text says are there: not the ego vehicle, and not what it says is lacking or only possible."""
    found: set[str] = set()
    for clause in _CLAUSE.split(_PLACE.sub(" ", _EGO.sub(" ", text.lower()))):
        if _ONLY_POSSIBLE.search(clause) is None:
            there = _NOT_THERE.split(clause, maxsplit=1)[0]
            found.update(_KIND_OF[match[1]] for match in _MENTION.finditer(there))
    return found


def kinds_known(agents: Iterable[str]) -> set[str] | None:
    """Kinds that an annotation's `agents` stand for; None where there are none, or one of them is no known word."""
    found: set[str] = set()
    for agent in agents:
        kinds = _KNOWN.get(agent.strip().lower().removesuffix("s")) or _KNOWN.get(agent.strip().lower())
        if kinds is None:
            return None
        found |= kinds
    if found & _ALIKE:
        found.add("van")
    if "van" in found:
        found |= {"car"}
    return found or None


def unknown_kinds(text: str, agents: Iterable[str]) -> list[str]:
    """Kinds that a text names and the annotation does not know, in order; none where it cannot be told."""
    known = kinds_known(agents)
    return [] if known is None else sorted(kinds_named(text) - known)
