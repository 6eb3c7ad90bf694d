"""HazardNet's assessment of an image: what a risk comes from and what to do about it, by geometry alone.

The rules look at what can be seen in the image: road users, the traffic light, the stop line and speed bumps. Distances
are metres from the ego vehicle's centre (of road furniture: from its front), `side` is across the road, ahead is > 0.

| agent          | seen                                                             | suggested action     |
| -------------- | ---------------------------------------------------------------- | -------------------- |
| Vehicle        | oncoming, side < 1.9, ahead < 40                                 | Must Stop            |
| Pedestrian, Cyclist | side < 1.9, ahead < 12                                      | Must Stop            |
| Pedestrian, Cyclist | side < 4.0, ahead < 25                                      | Yield                |
| Vehicle        | crossing, side < 3, ahead < 10                                   | Must Stop            |
| Vehicle        | crossing, side < 9, ahead < 30                                   | Yield                |
| Vehicle        | going our way or standing, side < 1.9, ahead < 9 (braking: < 14) | Must Stop            |
| Vehicle        | going our way or standing, side < 1.9, ahead < 24                | Carefully Slow Down  |
| Vehicle        | going our way, 1.9 <= side < 4.5, ahead < 12                     | Keep Moving          |
| Infrastructure | red light, stop line < 30                                        | Must Stop            |
| Infrastructure | speed bump from 3 (nearer ones are below the image) to 18        | Carefully Slow Down  |

Of several hazards the one with the most urgent action counts (in the order Must Stop, Yield, Carefully Slow Down, Keep
Moving), then the nearest. Without one there is no risk, and agent and action are N/A.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hazardline.native import LANE_HALF_M, StillObject, StillTruth

Action = Literal["Must Stop", "Yield", "Carefully Slow Down", "Keep Moving"]
Agent = Literal["Vehicle", "Pedestrian", "Cyclist", "Infrastructure"]
NOT_APPLICABLE = "N/A"

URGENCY: tuple[Action, ...] = ("Must Stop", "Yield", "Carefully Slow Down", "Keep Moving")
BUMP_VISIBLE_FROM_M = 3.0
_STOP_LINE_M, _BUMP_M = 30.0, 18.0
_AGENTS: dict[str, Agent] = {"pedestrian": "Pedestrian", "cyclist": "Cyclist"}


@dataclass(frozen=True)
class Hazard:
    """One thing that calls for an action.

    Attributes:
        agent: what it is.
        action: what it calls for.
        distance_m: from the ego vehicle.
        source: the road user, or the road furniture by name.
    """

    agent: Agent
    action: Action
    distance_m: float
    source: StillObject | Literal["traffic light", "speed bump"]


def assess(truth: StillTruth) -> Hazard | None:
    """The hazard that decides over an image; None where there is no risk."""
    return min(hazards(truth), key=lambda found: (URGENCY.index(found.action), found.distance_m), default=None)


def hazards(truth: StillTruth) -> Iterator[Hazard]:
    """Everything in an image that calls for an action."""
    for item in truth.objects:
        agent = _AGENTS.get(item.kind, "Vehicle")
        action = _vehicle_action(item) if agent == "Vehicle" else _walker_action(item)
        if action is not None and item.ahead_m > 0:
            yield Hazard(agent, action, item.range_m, item)
    if truth.signal == "red" and truth.stop_line_m is not None and truth.stop_line_m < _STOP_LINE_M:
        yield Hazard("Infrastructure", "Must Stop", truth.stop_line_m, "traffic light")
    if truth.bump_m is not None and BUMP_VISIBLE_FROM_M <= truth.bump_m < _BUMP_M:
        yield Hazard("Infrastructure", "Carefully Slow Down", truth.bump_m, "speed bump")


def _walker_action(item: StillObject) -> Action | None:
    side = abs(item.right_m)
    if side < LANE_HALF_M and item.ahead_m < 12:
        return "Must Stop"
    return "Yield" if side < 4.0 and item.ahead_m < 25 else None


def _vehicle_action(item: StillObject) -> Action | None:
    side, ahead = abs(item.right_m), item.ahead_m
    if item.heading in ("from_left", "from_right"):
        if side < 3 and ahead < 10:
            return "Must Stop"
        return "Yield" if side < 9 and ahead < 30 else None
    if side < LANE_HALF_M:
        if item.heading == "oncoming":
            return "Must Stop" if ahead < 40 else None
        if ahead < (14 if item.braking else 9):
            return "Must Stop"
        return "Carefully Slow Down" if ahead < 24 else None
    return "Keep Moving" if item.heading == "same" and side < 4.5 and ahead < 12 else None
