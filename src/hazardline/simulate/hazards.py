"""The hazard families: who stands where and does what when, so that it may end in a crash."""

from collections.abc import Callable

import numpy as np

from hazardline.simulate.drivers import BrakeOrder, Driver, Slip, Swerve, Walk
from hazardline.simulate.kinds import LANE_M, Kind
from hazardline.simulate.staging import FAR_M, Stage, crosser, observed_gap_m


def _rear_end(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    y = stage.start_y + s.speed_mps * s.headway_s + 6
    lead = stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps)
    stage.hazard_s = s.conflict_s - 2.2
    lead.brakes = [BrakeOrder(stage.hazard_s, s.brake_share * stage.grip)]
    stage.add("other", 0, lead)
    stage.risk = "other"


def _cut_in(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    x = LANE_M * (0.5 + (1 - s.ego_lane))
    speed = s.speed_mps * (0.8 + 0.2 * s.spare[0])
    stage.hazard_s = s.conflict_s - 2.4
    closing = (s.speed_mps - speed) * stage.hazard_s
    y = stage.start_y + s.gap_m + closing
    other = stage.driver((x, y), (x, FAR_M), speed, attentive=False)
    other.swerves = [Swerve(stage.hazard_s, 1.6, stage.ego_x - x)]
    other.brakes = [BrakeOrder(stage.hazard_s + 0.8 + 0.8 * s.spare[1], s.brake_share * stage.grip)]
    stage.add("other", 0, other)
    stage.risk = "other"


def _red_light(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.road.signal = "green"
    arrival_s = s.conflict_s + 0.2 + s.offset_s
    stage.add("other", 0, crosser(stage, arrival_s, stage.ego_x, reaction_s=s.other_reaction_s + 1.2))
    stage.hazard_s = max(0.2, arrival_s - (s.other_speed_mps / 8.0 + 1.0))
    stage.risk = "other"


def _dart_out(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    kerb, side = stage.road.kerb_m, s.side
    speed = (1.6 + 2.0 * s.spare[0]) * (1.5 if s.walker == "cyclist" else 1.0)
    x = side * (kerb - 0.6)
    walk_s = abs(x - stage.ego_x) / speed
    stage.hazard_s = max(0.3, s.conflict_s - walk_s + 0.6 * s.offset_s)
    stop = abs(x - stage.ego_x) + 0.3 if s.variant == "freezes" else None
    route = Walk((x, 0.0), (-side * (kerb + 2), 0.0), stage.hazard_s, speed, stop)
    stage.actors.append("other")
    stage.world.add_walker("other", s.walker, s.colours[0], route)
    hiding: Kind = s.kinds[1] if s.kinds[1] != "truck" else "van"
    edge = side * (kerb - 1.15)
    stage.road.parked += [
        (edge, -4.6 - 1.5 * s.spare[1], hiding, s.colours[1]),
        (edge, -11.5 - 2 * s.spare[2], "car", s.colours[0]),
    ]
    stage.risk = "other"


def _left_turn(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    speed, turn_y, radius = 4.5 + 0.3 * s.other_speed_mps, 6.5, 8.25
    start_s = s.conflict_s + s.offset_s - 7.0 / speed
    arc = [
        (-1.75 + radius * (1 - float(np.cos(a))), turn_y - radius * float(np.sin(a)))
        for a in np.linspace(0.15, np.pi / 2, 7)
    ]
    path = [(-1.75, turn_y + speed * max(start_s, 0.8)), (-1.75, turn_y), *arc, (FAR_M, turn_y - radius)]
    other = Driver(path, speed, 0.87 * stage.grip, reaction_s=s.other_reaction_s + 1.5)
    stage.add("other", 0, other)
    stage.hazard_s = max(0.2, start_s)
    stage.road.signal = "green"
    stage.risk = "other"


def _observed_side_impact(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.road.signal = "green"
    y = stage.start_y + observed_gap_m(s)
    hit = stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps, reaction_s=s.reaction_s + 1.0)
    stage.add("hit", 1, hit)
    arrival_s = s.conflict_s + 0.2 + s.offset_s
    stage.add("other", 0, crosser(stage, arrival_s, stage.ego_x, reaction_s=s.other_reaction_s + 1.5))
    stage.hazard_s = max(0.2, arrival_s - (s.other_speed_mps / 8.0 + 1.0))
    ego.reaction_s, ego.headway_s = 0.4, 1.0
    stage.risk, stage.victim = "other", "hit"


def _observed_rear_end(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    x = stage.ego_x
    if s.variant == "next_lane" and stage.road.lanes == 2:
        x = LANE_M * (0.5 + (1 - s.ego_lane))
    first = stage.start_y + 8.5 + 4.0 * s.spare[0]
    second = first + s.speed_mps * (0.25 + 0.65 * s.headway_s) + 7
    stage.hazard_s = s.conflict_s - 2.2
    rear = stage.driver((x, first), (x, FAR_M), s.speed_mps, reaction_s=s.other_reaction_s, headway_s=0.5)
    stage.add("other", 0, rear)
    rear.max_decel_mps2 = 0.95 * stage.grip
    front = stage.driver((x, second), (x, FAR_M), s.speed_mps)
    front.brakes = [BrakeOrder(stage.hazard_s, s.brake_share * stage.grip)]
    stage.add("hit", 1, front)
    ego.reaction_s, ego.headway_s = 0.4 + 0.4 * s.spare[1], 0.5
    stage.risk, stage.victim = "other", "hit"


def _head_on(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    x, speed = -LANE_M / 2, s.other_speed_mps
    other = stage.driver((x, speed * s.conflict_s), (x, -FAR_M), speed, attentive=False)
    shift = -s.depth * LANE_M
    if s.variant == "drift":
        stage.hazard_s = s.conflict_s - 1.5 - 0.8 * s.spare[0]
        other.swerves = [Swerve(stage.hazard_s, 1.7, shift)]
        if s.spare[1] < 0.6:
            other.brakes = [BrakeOrder(s.conflict_s - 0.5, 0.8 * stage.grip)]
    else:
        slow = 0.35 * speed
        pass_s = 9.0 / (speed - slow)
        abreast_s = s.conflict_s - 1.0 - pass_s
        stage.hazard_s = abreast_s - 0.8 - pass_s
        back_s = s.conflict_s - 0.2 + 0.4 * s.offset_s
        other.swerves = [Swerve(stage.hazard_s, 1.2, shift), Swerve(back_s, 1.1, -shift)]
        y = slow * abreast_s + speed * (s.conflict_s - abreast_s)
        stage.add("slow", 1, stage.driver((x, y), (x, -FAR_M), slow, attentive=False))
    stage.add("other", 0, other)
    stage.risk = "other"


def _loss_of_control(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.hazard_s = s.conflict_s - 1.9
    toward = 1.0
    if s.variant == "ahead":
        gap = s.speed_mps * (0.5 + 0.5 * s.headway_s) + 7
        next_lane = stage.road.lanes == 2 and s.spare[0] < 0.8
        x = LANE_M * (0.5 + (1 - s.ego_lane)) if next_lane else stage.ego_x
        toward = (1.0 if x < stage.ego_x else -1.0) if next_lane else float(s.side)
        other = stage.driver((x, stage.start_y + gap), (x, FAR_M), s.speed_mps, attentive=False)
    elif s.variant == "oncoming":
        x, speed = -LANE_M / 2, s.other_speed_mps
        toward = -1.0
        other = stage.driver((x, speed * s.conflict_s), (x, -FAR_M), speed, attentive=False)
    elif s.variant == "ahead_parked":
        y = stage.start_y + 9.0 + 6.0 * s.spare[0]
        other = stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps, attentive=False)
    else:
        other = ego
        ego.attentive = False
    other.slip = Slip(stage.hazard_s, 0.5 + 0.7 * s.kick, toward * 26 * s.kick, 1.0 - 0.85 * s.kick)
    if other is not ego:
        stage.add("other", 0, other)
        stage.risk = "other"
    if s.variant in ("ego", "ahead_parked"):
        slips_y = other.path[0][1] + s.speed_mps * stage.hazard_s
        place = (stage.road.kerb_m - 1.15, slips_y + s.speed_mps * (1.0 + 0.5 * s.spare[1]))
        stage.world.add_parked("parked", s.kinds[1], s.colours[1], *place, 0.0)
        stage.actors.append("parked")
        if s.variant == "ego":
            stage.risk = "parked"
        else:
            stage.victim = "parked"
            ego.reaction_s, ego.headway_s = 0.4, 0.9


HAZARDS: dict[str, Callable[[Stage, Driver], None]] = {
    "rear_end": _rear_end,
    "cut_in": _cut_in,
    "red_light": _red_light,
    "dart_out": _dart_out,
    "left_turn": _left_turn,
    "observed_side_impact": _observed_side_impact,
    "observed_rear_end": _observed_rear_end,
    "head_on": _head_on,
    "loss_of_control": _loss_of_control,
}
"""Places the actors of a family on a stage that has its ego vehicle's driver."""
