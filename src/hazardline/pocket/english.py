"""Plain English of the road: what a driver's handbook says, from a small grammar. No crash words (a test holds it).

It teaches the pocket base to write sentences, and gives its vocabulary the words that drivers use. Words that are not
in the vocabulary are written letter by letter; `dictation` and `spelled` see to it that the base can do that: letters
that are never seen in pre-training keep no place of their own among the embeddings, and no adapter can tell them apart
afterwards (measured: "hits" came out as "hss", "collide" as "solll").
"""

import re
from collections.abc import Iterator

import numpy as np

FORBIDDEN_WORDS = ("crash", "collision", "collid", "accident", "impact", "hits", "struck", "strike", "rear-end")
"""Stems that must not stand in any text that the base is pre-trained on."""

_WHO = ("drivers", "vehicle drivers", "the driver", "ego car drivers", "cyclists", "pedestrians", "road users")
_WHERE = (
    "at the intersection",
    "beside parked vehicles",
    "on a wet road",
    "on a snowy road",
    "in fog",
    "at night",
    "on the highway",
    "in the town",
    "near a crossing",
    "behind a slow truck",
    "on a narrow road",
    "in heavy traffic",
)
_WHEN = (
    "when turning left",
    "when changing lanes",
    "when overtaking",
    "when following another vehicle",
    "when the light turns red",
    "when visibility is poor",
    "when the vehicle ahead brakes",
    "before crossing the road",
    "before moving into the next lane",
    "when an oncoming vehicle approaches",
    "when a pedestrian waits at the side",
    "when the road is slippery",
)
_DO = (
    "should slow down and keep a safe distance",
    "should keep at least a two-second gap to the vehicle ahead",
    "should watch the brake lights of the vehicle ahead",
    "should give way to oncoming traffic",
    "should stop at the red light and wait for green",
    "should look left and right before entering the intersection",
    "should check the mirror and leave a safe gap",
    "should stay in their own lane",
    "should not exceed the speed limit",
    "should brake early and gently",
    "should cross where they can be seen",
    "should be ready to stop at any time",
    "should not follow too closely",
    "should not overtake without a clear view",
    "should avoid sudden steering and sudden braking",
    "should keep to the right side of the road",
    "must not enter the intersection on red",
    "must not cross the centre line",
    "must stay attentive and keep both hands on the wheel",
    "must reduce speed in rain, snow and fog",
)
_FACTS = (
    "The braking distance grows with the square of the speed.",
    "A wet road doubles the braking distance.",
    "The reaction time of an attentive driver is about one second.",
    "A driver who looks away reacts late.",
    "A vehicle that turns left gives way to oncoming traffic.",
    "A van or a truck hides pedestrians and cyclists.",
    "On snow the tyres lose grip and the vehicle skids.",
    "The vehicle loses control when it is too fast for the road.",
    "At night dark clothes are hard to see.",
    "The driver of the car followed too closely and reacted late.",
    "The driver of the truck ignored the red light.",
    "The van changed lane with too small a gap.",
    "The cyclist crossed without looking.",
    "The pedestrian was hidden by parked vehicles.",
    "The oncoming car drifted over the centre line.",
    "The car drove too fast for the slippery road and lost control.",
    "The driver did not give way to oncoming traffic when turning left.",
    "The ego driver was too close to stop in time.",
    "A van cuts in from the left lane only with a signal and a large gap.",
    "An SUV that cuts in too early makes others brake hard.",
    "A truck that runs a red light is a danger to all, and so is a car that runs late.",
    "A pedestrian who steps out from behind an SUV is seen late.",
    "A cyclist who rides out from a side road looks both ways first.",
    "A driver who follows too closely brakes too late.",
    "The driver ignores the red light.",
    "The path of an oncoming car that turns right stays clear.",
    "When it turns left, a vehicle waits until the path across the road is clear.",
    "When two drivers meet on a narrow road, they slow down and one of them gives way.",
    "A car drifts over the centre line when the driver is tired.",
    "A truck that loses grip slides ahead and cannot steer.",
    "A parked SUV, a parked van or a parked truck leaves less room on the road.",
    "Keep calm. Keep right. Keep a large distance at night.",
    "Brake gently as soon as the light turns red.",
    "Change down before a steep hill. Change lane once, not twice.",
    "Look over the shoulder. Look ahead, then to both sides of the junction.",
    "Cross at the lights only. Cross the road where the view is clear.",
    "Slow down near a school. Slow down and steer gently on ice.",
    "Give room to cyclists. Give a signal before turning.",
    "Be patient at a junction. Be ready to wait.",
    "Stay behind the line. Stay calm in the lane of a slow vehicle.",
    "Overtake only on the left, only when the road ahead is free and you can see far.",
    "Stop where the sign says stop.",
    "How to prevent a skid? Drive slowly and leave a gap.",
    "What is the cause of a skid? A slippery road and too much speed.",
    "The first sign of danger is often a brake light. Say what you see and describe it.",
    "From when to when is the light green? Answer with two times.",
    "Is there a car ahead? Answer Yes or No.",
    "No danger, no action needed.",
    "no danger.",
)
_QUESTIONS = (
    "What should a driver know?",
    "Give advice for the road.",
    "Say a rule of the road.",
    "What is good practice?",
)


def advice(rng: np.random.Generator) -> str:
    """One or two sentences of a handbook."""
    sentences = []
    for _ in range(int(rng.integers(1, 3))):
        if rng.random() < 0.3:
            sentences.append(str(rng.choice(_FACTS)))
            continue
        who, do = str(rng.choice(_WHO)), str(rng.choice(_DO))
        place = str(rng.choice(_WHERE if rng.random() < 0.5 else _WHEN))
        form = int(rng.integers(3))
        if form == 0:
            text = f"{who} {do} {place}."
        elif form == 1:
            text = f"{place}, {who} {do}."
        else:
            text = f"{who} {do}."
        sentences.append(text[0].upper() + text[1:])
    return " ".join(sentences)


_ONSETS = ("", "b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kn", "l", "m", "n", "p",
           "pl", "qu", "r", "s", "sh", "sk", "sp", "st", "str", "t", "th", "tr", "v", "w", "x", "y", "z")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "oa", "oo", "ou")
_CODAS = ("", "", "b", "ck", "d", "ft", "g", "l", "ld", "ll", "m", "n", "nd", "ng", "nt", "p", "r", "rd", "s", "sh",
          "ss", "st", "t", "th", "ve", "x", "ze")  # fmt: skip


def invented_word(rng: np.random.Generator) -> str:
    """A word of one to three syllables that means nothing, now and then with a capital letter or a hyphen."""
    while True:
        parts = [
            "".join(str(rng.choice(choices)) for choices in (_ONSETS, _VOWELS, _CODAS))
            for _ in range(int(rng.integers(1, 4)))
        ]
        word = ("-" if rng.random() < 0.1 else "").join(parts)
        style = rng.random()
        word = word.upper() if style < 0.08 else word.capitalize() if style < 0.25 else word
        if not any(stem in word.lower() for stem in FORBIDDEN_WORDS):
            return word


def dictation(rng: np.random.Generator, count: int) -> Iterator[tuple[str, str]]:
    """Invented words to write down. Kept out of the vocabulary, so that they are spelled."""
    for _ in range(count):
        words = " ".join(invented_word(rng) for _ in range(int(rng.integers(1, 4))))
        yield f"Write: {words}", f"{words}."


def handbook(rng: np.random.Generator, count: int) -> Iterator[tuple[str, str]]:
    """Questions and answers without a clip."""
    for _ in range(count):
        yield str(rng.choice(_QUESTIONS)), advice(rng)


def spelled(text: str, share: float, rng: np.random.Generator) -> list[str]:
    """Cut a text into the pieces that it is to be tokenised in.

    Args:
        text: any text; the pieces joined are the text again.
        share: share of words that are cut into pieces of one to three letters; the others stay together.
        rng: source of all choices.
    """
    pieces, whole = [], ""
    for word in re.findall(r"\s*[A-Za-z]+|[^A-Za-z]+", text):
        if not word.strip().isalpha() or rng.random() >= share:
            whole += word
            continue
        if whole:
            pieces.append(whole)
        whole, at = "", 0
        while at < len(word):
            length = int(rng.integers(1, 4)) + (word[at] == " ")
            pieces.append(word[at : at + length])
            at += length
    return [*pieces, whole] if whole else pieces
