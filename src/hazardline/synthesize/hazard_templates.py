"""The questions of HazardQA's seven topics, and how each is answered from the exact truth of an image.

Sentences are short and final answers come from small closed sets: a pocket model has to learn them. What an image
cannot show is not asked: far colours, brake lights of vehicles that do not drive our way, furniture below the image or
too far to be made out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from hazardline.native import NEAR_M, StillObject, StillTruth
from hazardline.synthesize.hazard_rules import (
    BUMP_VISIBLE_FROM_M,
    Hazard,
    assess,
    hazards,
)
from hazardline.tasks import Task

SIGHT_M, FOG_SIGHT_M = 70.0, 40.0
"""Road users beyond this distance are not asked about."""
_COLOUR_M, _MOTION_M, _FURNITURE_M, _MAX_COUNT = 40.0, 50.0, 30.0, 4
_MOTIONS = {"same": "with us", "oncoming": "toward us", "from_left": "from the left", "from_right": "from the right"}
_VERBS = {"same": "goes", "oncoming": "comes", "from_left": "crosses", "from_right": "crosses"}
_ROADS = {
    "narrow_lane": "narrow lane",
    "intersection": "intersection",
    "urban_road": "urban road",
    "highway": "highway",
}
_ACTIONS = {
    "Must Stop": "stop",
    "Yield": "give way",
    "Carefully Slow Down": "slow down",
    "Keep Moving": "keep moving",
}
_WALKERS = ("pedestrian", "cyclist")

Reply = tuple[str, str]
"""Reasoning and final answer."""


@dataclass(frozen=True)
class Seen:
    """An image as the questions look at it: its truth, and the road users in sight, nearest first."""

    truth: StillTruth
    weather: str
    light: str
    users: tuple[StillObject, ...]

    @classmethod
    def of(cls, truth: StillTruth, weather: str, light: str) -> Self:
        """Leave out the road users that are too far away."""
        sight_m = FOG_SIGHT_M if weather == "foggy" else SIGHT_M
        return cls(truth, weather, light, tuple(item for item in truth.objects if item.range_m < sight_m))

    @property
    def lane(self) -> list[StillObject]:
        """Road users in the ego vehicle's lane, ahead of it."""
        return [item for item in self.users if item.side == "ahead" and item.ahead_m > 0]


@dataclass(frozen=True)
class Template:
    """One question in several wordings; `reply` gives None where the image cannot show the answer."""

    wordings: tuple[str, ...]
    reply: Callable[[Seen], Reply | None]


def _nearness(item: StillObject) -> str:
    return "near" if item.range_m < NEAR_M else "far"


def _name(item: StillObject) -> str:
    return f"{item.colour} {item.kind}"


def _place(item: StillObject) -> str:
    where = "ahead of us" if item.side == "ahead" else f"on the {item.side}"
    return f"{where}, {_nearness(item)}"


def _says(item: StillObject) -> str:
    return f"A {_name(item)} is {_place(item)}."


def _nearest(seen: Seen) -> str:
    if not seen.users:
        return "There are no road users."
    item = seen.users[0]
    return f"The nearest road user is a {_name(item)} {_place(item)}."


def _yes_no(item: StillObject | None, otherwise: str) -> Reply:
    return (otherwise, "No") if item is None else (_says(item), "Yes")


def _leader(seen: Seen) -> StillObject | None:
    """The vehicle that drives ahead of us in our lane, if it is the nearest there."""
    item = _first(seen.lane)
    is_leader = item is not None and item.kind not in _WALKERS and item.heading == "same" and item.range_m < _MOTION_M
    return item if is_leader else None


def _first(users: list[StillObject]) -> StillObject | None:
    return users[0] if users else None


# Object detection and recognition


def _kind(seen: Seen) -> Reply:
    return _nearest(seen), seen.users[0].kind if seen.users else "none"


def _colour(seen: Seen) -> Reply | None:
    if not seen.users or seen.users[0].range_m > _COLOUR_M:
        return None
    return _nearest(seen), seen.users[0].colour


def _number(seen: Seen) -> Reply | None:
    count = len(seen.users)
    if count > _MAX_COUNT:
        return None
    kinds = ", ".join(item.kind for item in seen.users)
    return f"There {'is' if count == 1 else 'are'}: {kinds}." if count else "There are no road users.", str(count)


def _walker(seen: Seen) -> Reply:
    walkers = [item for item in seen.users if item.kind in _WALKERS]
    return _yes_no(_first(walkers), "There is no pedestrian and no cyclist.")


# Spatial relationships and positioning


def _where(seen: Seen) -> Reply | None:
    return (_nearest(seen), seen.users[0].side) if seen.users else None


def _distance(seen: Seen) -> Reply | None:
    return (_nearest(seen), _nearness(seen.users[0])) if seen.users else None


def _in_lane(seen: Seen) -> Reply:
    return _yes_no(_first(seen.lane), "No road user is in our lane.")


def _on_side(side: str) -> Callable[[Seen], Reply]:
    def reply(seen: Seen) -> Reply:
        item = _first([item for item in seen.users if item.side == side])
        return (f"The {side} is free.", "none") if item is None else (_says(item), item.kind)

    return reply


# Traffic rules and compliance


def _light(seen: Seen) -> str | None:
    """What the traffic light shows; None without one that is near enough to be made out."""
    truth = seen.truth
    is_visible = truth.stop_line_m is not None and truth.stop_line_m < _FURNITURE_M
    return truth.signal if is_visible else None


def _signal(seen: Seen) -> Reply | None:
    light = _light(seen)
    return None if light is None else (f"The traffic light is {light}.", light)


def _must_stop(seen: Seen) -> Reply | None:
    light = _light(seen)
    return None if light is None else (f"The traffic light is {light}.", "Yes" if light == "red" else "No")


def _give_way(seen: Seen) -> Reply | None:
    walkers = [item for item in seen.users if item.kind in _WALKERS]
    if not walkers:
        return None
    urgent = [hazard.source for hazard in hazards(seen.truth) if hazard.source in walkers]
    nearest = min(urgent, key=lambda item: item.range_m if isinstance(item, StillObject) else 0.0, default=walkers[0])
    assert isinstance(nearest, StillObject)
    return _says(nearest), "Yes" if urgent else "No"


def _safe_gap(seen: Seen) -> Reply | None:
    item = _leader(seen)
    return None if item is None else (_says(item), "No" if _nearness(item) == "near" else "Yes")


# Dynamic elements and movement


def _moves(item: StillObject) -> str:
    return f"A {_name(item)} {_VERBS[item.heading]} {_MOTIONS[item.heading]}."


def _crosses(seen: Seen) -> Reply:
    item = _first([item for item in seen.users if item.heading in ("from_left", "from_right")])
    return ("No road user crosses.", "No") if item is None else (_moves(item), "Yes")


def _oncoming(seen: Seen) -> Reply:
    item = _first([item for item in seen.users if item.heading == "oncoming"])
    return ("No road user comes toward us.", "No") if item is None else (_moves(item), "Yes")


def _direction(seen: Seen) -> Reply | None:
    item = _first(list(seen.users))
    if item is None or item.heading == "still" or item.range_m > _MOTION_M:
        return None
    return _moves(item), _MOTIONS[item.heading]


def _brakes(seen: Seen) -> Reply | None:
    item = _leader(seen)
    if item is None:
        return None
    said = "The brake lights shine." if item.braking else "No brake lights shine."
    return f"{_says(item)} {said}", "Yes" if item.braking else "No"


# Scene context and prediction


def _hazard_says(hazard: Hazard | None, seen: Seen) -> str:
    if hazard is None:
        return "There is no danger."
    if isinstance(hazard.source, StillObject):
        return _says(hazard.source)
    return "The traffic light is red." if hazard.source == "traffic light" else "A speed bump is ahead of us."


def _danger(seen: Seen) -> Reply:
    hazard = assess(seen.truth)
    return _hazard_says(hazard, seen), "No" if hazard is None else "Yes"


def _danger_source(seen: Seen) -> Reply:
    hazard = assess(seen.truth)
    if hazard is None:
        return _hazard_says(hazard, seen), "none"
    return _hazard_says(hazard, seen), hazard.source.kind if isinstance(hazard.source, StillObject) else hazard.source


def _next_action(seen: Seen) -> Reply:
    hazard = assess(seen.truth)
    return _hazard_says(hazard, seen), _ACTIONS["Keep Moving" if hazard is None else hazard.action]


# Weather and visibility


def _day(seen: Seen) -> str | None:
    """Weather and light as a sentence; None where one of them is unknown."""
    return None if "unknown" in (seen.weather, seen.light) else f"A {seen.weather} {seen.light}."


def _weather(seen: Seen) -> Reply | None:
    said = _day(seen)
    return None if said is None else (said, seen.weather)


def _dark(seen: Seen) -> Reply | None:
    said = _day(seen)
    return None if said is None else (said, "Yes" if seen.light == "night" else "No")


def _visibility(seen: Seen) -> Reply | None:
    said = _day(seen)
    return None if said is None else (said, "good" if (seen.weather, seen.light) == ("sunny", "day") else "poor")


# Road infrastructure and features


def _lanes_say(seen: Seen) -> str:
    return "There is 1 lane each way." if seen.truth.lanes == 1 else f"There are {seen.truth.lanes} lanes each way."


def _road(seen: Seen) -> Reply:
    road = _ROADS[seen.truth.road]
    return "An intersection is ahead of us." if road == "intersection" else _lanes_say(seen), road


def _lanes(seen: Seen) -> Reply:
    return _lanes_say(seen), str(seen.truth.lanes)


def _junction(seen: Seen) -> Reply | None:
    distance_m = seen.truth.stop_line_m
    if distance_m is None:
        return "There is no intersection.", "No"
    return ("An intersection is ahead of us.", "Yes") if _is_visible(distance_m) else None


def _furniture(seen: Seen) -> Reply | None:
    """The next piece of road furniture."""
    truth = seen.truth
    distances = {
        "intersection": truth.stop_line_m,
        "pedestrian crossing": truth.crossing_m,
        "speed bump": truth.bump_m,
    }
    ahead = {name: distance_m for name, distance_m in distances.items() if distance_m is not None}
    if not ahead:
        return "The road is free.", "none"
    if not all(map(_is_visible, ahead.values())):
        return None
    name = min(ahead, key=lambda name: ahead[name])
    return f"{_article(name)} {name} is ahead of us.", name


def _is_visible(distance_m: float) -> bool:
    return BUMP_VISIBLE_FROM_M <= distance_m < _FURNITURE_M


def _article(name: str) -> str:
    return "An" if name[0] in "aeiou" else "A"


TEMPLATES: dict[Task, tuple[Template, ...]] = {
    "object_detection": (
        Template(("What kind of road user is nearest?", "Which road user is nearest to us?"), _kind),
        Template(("What colour is the nearest road user?", "In what colour is the nearest road user?"), _colour),
        Template(("How many road users are there?", "How many road users do we see?"), _number),
        Template(("Is there a pedestrian or a cyclist?", "Do we see a pedestrian or a cyclist?"), _walker),
    ),
    "spatial_relationships": (
        Template(("Where is the nearest road user?", "On which side is the nearest road user?"), _where),
        Template(("At what distance is the nearest road user?", "What is our distance to the nearest one?"), _distance),
        Template(("Is someone in our lane?", "Is there a road user in our lane?"), _in_lane),
        Template(("Who is on the left?", "What road user is on the left?"), _on_side("left")),
        Template(("Who is on the right?", "What road user is on the right?"), _on_side("right")),
    ),
    "traffic_rules": (
        Template(("What does the traffic light show?", "Which colour is the traffic light?"), _signal),
        Template(("Must we stop at the traffic light?", "Does the traffic light stop us?"), _must_stop),
        Template(
            ("Must we give way to a pedestrian or a cyclist?", "Must we wait for a pedestrian or a cyclist?"), _give_way
        ),
        Template(("Is our distance to the vehicle ahead safe?", "Is the gap in our lane safe?"), _safe_gap),
    ),
    "dynamic_elements": (
        Template(("Does someone cross?", "Is there crossing traffic?"), _crosses),
        Template(("Does someone come toward us?", "Is there oncoming traffic?"), _oncoming),
        Template(("Which way does the nearest road user move?", "How does the nearest road user move?"), _direction),
        Template(("Does the vehicle in our lane brake?", "Do brake lights shine in our lane?"), _brakes),
    ),
    "scene_prediction": (
        Template(("Is there a danger for us?", "Is there danger on our way?"), _danger),
        Template(("What is the danger?", "What does the danger come from?"), _danger_source),
        Template(("What should the driver do?", "What should we do next?"), _next_action),
    ),
    "weather_visibility": (
        Template(("What is the weather?", "How is the weather?"), _weather),
        Template(("Is it dark?", "Is it dark on the road?"), _dark),
        Template(("How is the visibility?", "What is the visibility?"), _visibility),
    ),
    "road_infrastructure": (
        Template(("What road is it?", "What kind of road is it?"), _road),
        Template(("How many lanes are there each way?", "How many lanes are on each side?"), _lanes),
        Template(("Is there an intersection?", "Does an intersection come?"), _junction),
        Template(("What comes next on the road?", "What is next on our road?"), _furniture),
    ),
}
"""The questions of each topic. No wording holds the answer (`validate` refuses such a pair)."""
