"""Words of the questions and answers: about traffic, and enough of them for lengths to be set by their number."""

import random

_TEXT = """
    the a car truck bus van cyclist pedestrian driver motorcycle taxi ambulance lane road junction crossing light
    signal sign kerb bridge ramp shoulder barrier median turn left right ahead behind before after while when
    brakes stops slows speeds crosses enters leaves merges overtakes swerves hits misses skids wet dry dark bright
    icy foggy narrow wide busy empty slow fast sudden late early near far red green yellow white black silver
    first second third one two three four five six seconds metres because of without with into from over under
    between across along towards away collision crash danger hazard risk cause sign warning prevent avoid keep
    distance look mirror gap view blocked rain snow sun glare night day rear front side vehicle parked moving
    oncoming crossing traffic flow queue horn wheel tyre window door child dog bicycle scooter tram rail gate
    tunnel hill bend curve corner roundabout exit entry speed limit is was are were has had does did can could
    should would not no yes and or but then so very
"""
WORDS = tuple(sorted(set(_TEXT.split())))


def sentence(num_words: int, seed: int) -> str:
    """Words at random, each a token with the blank before it but for the first."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(num_words))
