"""Plain English of the road: what a driver's handbook says, from a small grammar. No crash words (a test holds it).

It teaches the pocket base to write sentences, and gives its vocabulary the words that drivers use.
"""

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


def handbook(rng: np.random.Generator, count: int) -> Iterator[tuple[str, str]]:
    """Questions and answers without a clip."""
    for _ in range(count):
        yield str(rng.choice(_QUESTIONS)), advice(rng)
