"""Rules about the words of a pair: language, length, and likeness of two texts."""

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ENGLISH = frozenset(
    "a an the is are was were be been has have had do does did will would can could should must may might "
    "not no and or but if when while because so that this these those there it its he she they their his "
    "her who which what where how of in on at to from by with without for into onto over under before "
    "after behind ahead near between than then as up down out off too very more ".split()
)
"""Commonest function words; German, French, Spanish or Chinese texts of some length have hardly any of them."""
_LONG_ENOUGH = 6
"""Shorter texts ("car hits car") may have no function word at all."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, numbers among them."""
    return [word.lower() for word in _WORD.findall(text)]


def is_english(text: str) -> bool:
    """Whether a text may pass as English: nearly all letters are ASCII, and one word in eight is a function word.

    It tells languages of other scripts, and sentences of other languages in Latin script; it is no judge of style.
    """
    letters = [character for character in text if character.isalpha()]
    if sum(character.isascii() for character in letters) < 0.9 * len(letters):
        return False
    found = words(text)
    return len(found) < _LONG_ENOUGH or sum(word in _ENGLISH for word in found) * 8 >= len(found)


def similarity(first: str, second: str) -> float:
    """Likeness of two texts in 0..1: the larger of the Jaccard index of their words and difflib's ratio over them."""
    one, other = words(first), words(second)
    if not one or not other:
        return float(one == other)
    shared = set(one) & set(other)
    jaccard = len(shared) / len(set(one) | set(other))
    if jaccard < 0.25:  # then few words are shared, and the slower measure cannot be high
        return jaccard
    return max(jaccard, SequenceMatcher(None, one, other, autojunk=False).ratio())
