"""The normal families. They are not calm: hard braking, jolts and close passes must not give a crash away."""

from collections.abc import Callable

from hazardline.simulate.drivers import BrakeOrder, Driver, Swerve, Walk
from hazardline.simulate.kinds import LANE_M
from hazardline.simulate.staging import EGO_HALF_M, FAR_M, Stage, crosser


def _cruise(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    y = stage.start_y + s.speed_mps * (0.6 + 0.7 * s.headway_s) + 6
    lead = stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps)
    if s.variant == "follow":
        start = s.conflict_s - 2.0
        lead.brakes = [BrakeOrder(start, min(1.0 + 1.5 * s.spare[0], 0.5 * stage.grip), start + 2.5)]
    stage.add("other", 0, lead)
    ego.reaction_s, ego.headway_s = 0.3, 1.5


def _light_stop(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.road.signal = "red"
    stop_y = -stage.road.kerb_m - 2.0 - EGO_HALF_M
    decel = min(1.8 + 2.2 * s.spare[0], 0.7 * stage.grip)
    distance = stop_y - stage.start_y
    start_s = max(0.1, (distance - s.speed_mps**2 / (2 * decel)) / s.speed_mps)
    ego.brakes = [BrakeOrder(start_s, decel)]
    ego.reaction_s = 0.2
    stage.add("other", 0, crosser(stage, s.conflict_s + 2.5 * s.offset_s, stage.ego_x, attentive=False))


def _yield_to_pedestrian(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    y, kerb = 4.0, stage.road.kerb_m
    stage.road.crossing_y = y
    speed = 1.2 + 0.9 * s.spare[0]
    x = s.side * (kerb + 0.3)
    start_s = max(0.3, s.conflict_s - abs(x - stage.ego_x) / speed + 0.3 * s.offset_s)
    stage.actors.append("other")
    route = Walk((x, y), (-s.side * (kerb + 3), y), start_s, speed)
    stage.world.add_walker("other", s.walker, s.colours[0], route)
    decel = min(2.0 + 3.0 * s.spare[1], 0.75 * stage.grip)
    stop_y = y - 3.0 - EGO_HALF_M
    brake_s = max(0.1, (stop_y - stage.start_y - s.speed_mps**2 / (2 * decel)) / s.speed_mps)
    ego.brakes = [BrakeOrder(brake_s, decel, start_s + (abs(x - stage.ego_x) + 3.0) / speed)]
    ego.reaction_s = 0.2


def _clear_crossing(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.road.signal = "green"
    ego.reaction_s = 0.3
    if s.variant == "passes_before":
        arrival_s = s.conflict_s - 2.3 - 1.2 * s.spare[0]
        stage.add("other", 0, crosser(stage, max(arrival_s, 0.5), stage.ego_x, attentive=False))
        return
    crossing = crosser(stage, s.conflict_s + 1.0 + s.spare[0], stage.ego_x, attentive=False)
    distance = abs(crossing.path[0][0]) - stage.road.lanes * LANE_M - 3.5
    decel = min(3.0 + 2.0 * s.spare[1], 0.6 * stage.grip)
    start_s = max(0.05, (distance - crossing.speed_mps**2 / (2 * decel)) / crossing.speed_mps)
    crossing.brakes = [BrakeOrder(start_s, decel)]
    stage.add("other", 0, crossing)


def _emergency_stop(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    y = stage.start_y + s.speed_mps * (1.1 + 0.7 * s.headway_s) + 6
    lead = stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps)
    start = s.conflict_s - 2.0
    again = start + 3.0 if s.spare[0] < 0.4 else 1e9
    lead.brakes = [BrakeOrder(start, s.brake_share * stage.grip, again)]
    stage.add("other", 0, lead)
    ego.reaction_s, ego.headway_s = 0.3 + 0.3 * s.spare[1], 1.3
    ego.brakes = [BrakeOrder(start + ego.reaction_s + 0.2, (0.65 + 0.3 * s.spare[2]) * stage.grip, again)]


def _speed_bumps(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    for k in range(1 + int(3 * s.spare[0])):
        stage.road.bumps_y.append(k * (7.0 + 12.0 * s.spare[1]))
    for y in stage.road.bumps_y:
        stage.world.add_bump(y, stage.road.kerb_m, 0.07 + 0.06 * s.spare[2], 0.45)
    if s.spare[3] < 0.5:
        y = stage.start_y + s.speed_mps * 2.0 + 10
        stage.add("other", 0, stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps))
        ego.reaction_s, ego.headway_s = 0.4, 1.4


def _lane_change(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    x = LANE_M * (0.5 + (1 - s.ego_lane))
    start, duration = s.conflict_s - 1.2, 1.5 + 1.0 * s.spare[0]
    if s.variant == "ego":
        ego.swerves = [Swerve(start, duration, x - stage.ego_x)]
        y = stage.start_y + 16.0 + 14.0 * s.spare[1]
        slow = s.speed_mps * (0.8 + 0.1 * s.spare[2])
        y += (s.speed_mps - slow) * start
        stage.add("other", 0, stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), slow))
        ego.attentive = False
        return
    speed = s.speed_mps * (1.0 + 0.15 * s.spare[1])
    y = stage.start_y + 11.0 + 8.0 * s.spare[2] - (speed - s.speed_mps) * start
    other = stage.driver((x, y), (x, FAR_M), speed, attentive=False)
    other.swerves = [Swerve(start, duration, stage.ego_x - x)]
    stage.add("other", 0, other)
    ego.reaction_s, ego.headway_s = 0.4, 0.8


def _close_overtake(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    if s.variant == "overtaken":
        x = LANE_M * (0.5 + (1 - s.ego_lane))
        inward = 0.3 * (1.0 if x < stage.ego_x else -1.0)
        speed = s.speed_mps * (1.3 + 0.25 * s.spare[0])
        y = stage.start_y - (speed - s.speed_mps) * (s.conflict_s - 0.4)
        other = stage.driver((x + inward, y), (x + inward, FAR_M), speed, attentive=False)
        if s.spare[1] < 0.6:
            gained = (9.0 + 4.0 * s.spare[2]) / (speed - s.speed_mps)
            other.swerves = [Swerve(s.conflict_s - 0.4 + gained, 1.8, stage.ego_x - x - inward)]
        stage.add("other", 0, other)
        ego.reaction_s, ego.headway_s = 0.4, 0.6
    elif s.variant == "passes_parked":
        edge = stage.road.kerb_m - 1.2
        stage.road.parked += [
            (edge, -3.0 + 7.0 * k, s.kinds[k % 2], s.colours[k % 2]) for k in range(2 + int(3 * s.spare[0]))
        ]
        ego.swerves = [Swerve(s.conflict_s - 2.2, 1.5, 0.35)]
    else:
        x = LANE_M * (0.5 + (1 - s.ego_lane))
        slow = s.speed_mps * (0.35 + 0.2 * s.spare[0])
        y = 0.0 - slow * s.conflict_s
        inward = 0.3 * (1.0 if x < stage.ego_x else -1.0)
        stage.add("other", 0, stage.driver((x + inward, y), (x + inward, FAR_M), slow))
        ego.attentive = False


NORMALS: dict[str, Callable[[Stage, Driver], None]] = {
    "cruise": _cruise,
    "light_stop": _light_stop,
    "yield_to_pedestrian": _yield_to_pedestrian,
    "clear_crossing": _clear_crossing,
    "emergency_stop": _emergency_stop,
    "speed_bumps": _speed_bumps,
    "lane_change": _lane_change,
    "close_overtake": _close_overtake,
}
"""Places the actors of a family on a stage that has its ego vehicle's driver."""
