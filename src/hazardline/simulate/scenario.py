"""Turns a sampled scenario into a world in motion: who stands where, who does what when.

The ego vehicle reaches y = 0, the place of conflict, at `scenario.conflict_s` if nothing disturbs it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hazardline.simulate.drivers import BrakeOrder, Driver, Slip, Swerve, Walk
from hazardline.simulate.families import WITH_JUNCTION, Scenario
from hazardline.simulate.kinds import GRAVITY, LANE_M, PARKING_M, SHAPES, VEHICLE_KINDS, VEHICLE_SHARES, Kind
from hazardline.simulate.world import Agent, World

EGO_HALF_M = 2.2
FAR_M = 500.0


@dataclass
class Road:
    """What stands still: lanes, kerb, junction, signals, crossing, bumps and parked vehicles."""

    lanes: int
    kerb_m: float
    """Distance of the kerb from the centre line."""
    junction: bool
    signal: str | None = None
    """Colour of the ego's traffic light."""
    crossing_y: float | None = None
    bumps_y: list[float] = field(default_factory=list)
    parked: list[tuple[float, float, Kind, str]] = field(default_factory=list)
    """Background vehicles at the kerb: x, y, kind, colour."""


@dataclass
class Stage:
    """A world with its road, the actors that matter, and the moment the hazard begins."""

    scenario: Scenario
    world: World
    road: Road
    start_y: float
    actors: list[str] = field(default_factory=list)
    hazard_s: float = 0.0
    risk: str | None = None
    """The agent whose behaviour is the danger."""
    victim: str = "ego"
    """Whom the danger threatens."""

    @property
    def ego_x(self) -> float:
        """Sideways position of the ego's lane."""
        return LANE_M * (0.5 + self.scenario.ego_lane)

    @property
    def grip(self) -> float:
        """Hardest braking that the road allows, m/s^2."""
        return 0.92 * self.scenario.around.friction * GRAVITY

    def driver(self, start: tuple[float, float], end: tuple[float, float], speed: float, **more: object) -> Driver:
        """A driver on a straight path with a usual braking strength."""
        driver = Driver([start, end], speed, max_decel_mps2=0.87 * self.grip)
        for name, value in more.items():
            setattr(driver, name, value)
        return driver

    def add(self, name: str, which: int, driver: Driver) -> Agent:
        """A vehicle of the scenario's first or second kind and colour, as an actor."""
        self.actors.append(name)
        return self.world.add_vehicle(name, self.scenario.kinds[which], self.scenario.colours[which], driver)


def build(scenario: Scenario, fps: int) -> Stage:
    """The scene at time zero."""
    around = scenario.around
    road = Road(
        lanes=around.lanes,
        kerb_m=around.lanes * LANE_M + PARKING_M,
        junction=scenario.family in WITH_JUNCTION,
    )
    world = World(around.friction, fps)
    stage = Stage(scenario, world, road, start_y=-scenario.speed_mps * scenario.conflict_s - EGO_HALF_M)
    if scenario.family == "observed_side_impact":
        stage.start_y -= _observed_gap_m(scenario)
    ego = stage.driver((stage.ego_x, stage.start_y), (stage.ego_x, FAR_M), scenario.speed_mps)
    ego.reaction_s, ego.headway_s = scenario.reaction_s, 0.9
    ego.max_decel_mps2 = (0.7 + 0.25 * scenario.spare[5]) * around.friction * GRAVITY
    world.add_vehicle("ego", "car", "grey", ego)
    _BUILDERS[scenario.family](stage, ego)
    _add_background(stage)
    world.watched = {"ego", *stage.actors}
    return stage


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


def _crosser(stage: Stage, arrival_s: float, target_x: float, **more: object) -> Driver:
    """A vehicle on the side road that reaches `target_x` at a time."""
    s = stage.scenario
    y = LANE_M / 2 * s.side
    x = target_x + s.side * max(s.other_speed_mps * arrival_s, 16.0)
    return stage.driver((x, y), (-s.side * FAR_M, y), s.other_speed_mps, **more)


def _red_light(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.road.signal = "green"
    arrival_s = s.conflict_s + 0.2 + s.offset_s
    stage.add("other", 0, _crosser(stage, arrival_s, stage.ego_x, reaction_s=s.other_reaction_s + 1.2))
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


def _observed_gap_m(s: Scenario) -> float:
    """Distance from the ego's centre to that of the vehicle ahead that is to be hit."""
    return 8.0 + 5.0 * s.spare[0] + SHAPES[s.kinds[1]].length_m / 2


def _observed_side_impact(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    stage.road.signal = "green"
    y = stage.start_y + _observed_gap_m(s)
    hit = stage.driver((stage.ego_x, y), (stage.ego_x, FAR_M), s.speed_mps, reaction_s=s.reaction_s + 1.0)
    stage.add("hit", 1, hit)
    arrival_s = s.conflict_s + 0.2 + s.offset_s
    stage.add("other", 0, _crosser(stage, arrival_s, stage.ego_x, reaction_s=s.other_reaction_s + 1.5))
    stage.hazard_s = max(0.2, arrival_s - (s.other_speed_mps / 8.0 + 1.0))
    ego.reaction_s, ego.headway_s = 0.4, 1.0
    stage.risk, stage.victim = "other", "hit"


def _observed_rear_end(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    x = stage.ego_x
    if s.variant == "next_lane" and stage.road.lanes == 2:
        x = LANE_M * (0.5 + (1 - s.ego_lane))
    first = stage.start_y + 10.0 + 7.0 * s.spare[0]
    second = first + s.speed_mps * s.headway_s * 0.7 + 7
    stage.hazard_s = s.conflict_s - 2.2
    rear = stage.driver((x, first), (x, FAR_M), s.speed_mps, reaction_s=s.other_reaction_s, headway_s=0.5)
    stage.add("other", 0, rear)
    front = stage.driver((x, second), (x, FAR_M), s.speed_mps)
    front.brakes = [BrakeOrder(stage.hazard_s, s.brake_share * stage.grip)]
    stage.add("hit", 1, front)
    ego.reaction_s, ego.headway_s = 0.25 + 0.3 * s.spare[1], 1.0
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
        next_lane = stage.road.lanes == 2 and s.spare[0] < 0.6
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
        ahead = 0.0 if s.variant == "ego" else 14.0
        place = (stage.road.kerb_m - 1.15, ahead - 4.0 + 10.0 * s.spare[1])
        stage.world.add_parked("parked", s.kinds[1], s.colours[1], *place, 0.0)
        stage.actors.append("parked")
        if s.variant == "ego":
            stage.risk = "parked"
        else:
            stage.victim = "parked"


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
    stage.add("other", 0, _crosser(stage, s.conflict_s + 2.5 * s.offset_s, stage.ego_x, attentive=False))


def _yield_to_pedestrian(stage: Stage, ego: Driver) -> None:
    s = stage.scenario
    y, kerb = 4.0, stage.road.kerb_m
    stage.road.crossing_y = y
    speed = 1.2 + 0.9 * s.spare[0]
    x = s.side * (kerb + 0.3)
    start_s = max(0.3, s.conflict_s - abs(x - stage.ego_x) / speed + 0.3 * s.offset_s)
    kind: Kind = s.walker
    stage.actors.append("other")
    route = Walk((x, y), (-s.side * (kerb + 3), y), start_s, speed)
    stage.world.add_walker("other", kind, s.colours[0], route)
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
        stage.add("other", 0, _crosser(stage, max(arrival_s, 0.5), stage.ego_x, attentive=False))
        return
    crosser = _crosser(stage, s.conflict_s + 1.0 + s.spare[0], stage.ego_x, attentive=False)
    distance = abs(crosser.path[0][0]) - stage.road.lanes * LANE_M - 3.5
    decel = min(3.0 + 2.0 * s.spare[1], 0.6 * stage.grip)
    start_s = max(0.05, (distance - crosser.speed_mps**2 / (2 * decel)) / crosser.speed_mps)
    crosser.brakes = [BrakeOrder(start_s, decel)]
    stage.add("other", 0, crosser)


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
        y = (0.0 - slow * s.conflict_s)
        inward = 0.3 * (1.0 if x < stage.ego_x else -1.0)
        stage.add("other", 0, stage.driver((x + inward, y), (x + inward, FAR_M), slow))
        ego.attentive = False


_BUILDERS: dict[str, Callable[[Stage, Driver], None]] = {
    "rear_end": _rear_end,
    "cut_in": _cut_in,
    "red_light": _red_light,
    "dart_out": _dart_out,
    "left_turn": _left_turn,
    "observed_side_impact": _observed_side_impact,
    "observed_rear_end": _observed_rear_end,
    "head_on": _head_on,
    "loss_of_control": _loss_of_control,
    "cruise": _cruise,
    "light_stop": _light_stop,
    "yield_to_pedestrian": _yield_to_pedestrian,
    "clear_crossing": _clear_crossing,
    "emergency_stop": _emergency_stop,
    "speed_bumps": _speed_bumps,
    "lane_change": _lane_change,
    "close_overtake": _close_overtake,
}


def _add_background(stage: Stage) -> None:
    """Oncoming traffic and parked vehicles, drawn in the same way for every family and label."""
    s, road = stage.scenario, stage.road
    rng = np.random.default_rng(s.around.look_seed)
    palette = list(dict.fromkeys(("white", "silver", "red", "blue", "yellow", *s.colours)))
    taken: list[tuple[float, float]] = []
    busy = s.family in ("left_turn", "head_on", "loss_of_control")
    for index in range(int(rng.integers(0, 3))):
        x = -LANE_M * (0.5 + int(rng.integers(0, road.lanes)))
        y = stage.start_y + 60.0 + float(rng.uniform(20, 220))
        kind = VEHICLE_KINDS[int(rng.choice(4, p=VEHICLE_SHARES))]
        speed, colour = s.speed_mps * float(rng.uniform(0.8, 1.1)), palette[int(rng.integers(5))]
        free = all(abs(tx - x) > 1 or abs(ty - y) > 25 for tx, ty in taken)
        if free and not road.junction and not busy and road.crossing_y is None and s.family != "dart_out":
            taken.append((x, y))
            stage.world.add_scripted(f"background{index}", kind, colour, (x, y), (0.0, -speed))
    if s.around.scene != "highway" and rng.random() < 0.6:
        _park(stage, rng, palette)
    for index, (x, y, kind, colour) in enumerate(road.parked):
        stage.world.add_parked(f"kerb{index}", kind, colour, x, y, 0.0 if x > 0 else 180.0)


def _park(stage: Stage, rng: np.random.Generator, palette: list[str]) -> None:
    road, s = stage.road, stage.scenario
    kinds: tuple[Kind, ...] = ("car", "suv", "van")
    clear = 22.0 if road.junction else 0.0
    if s.family in ("dart_out", "yield_to_pedestrian"):
        clear = 6.0
    if s.family == "loss_of_control":
        clear = 32.0
    for y in np.arange(stage.start_y + 10, 90, 7.5):
        for side in (-1, 1):
            wanted, kind, colour = rng.random() < 0.35, kinds[int(rng.integers(3))], palette[int(rng.integers(5))]
            near = any(abs(float(y) - py) < 6.5 and px * side > 0 for px, py, _, _ in road.parked)
            if wanted and not near and abs(y) >= clear:
                road.parked.append((side * (road.kerb_m - 1.15), float(y), kind, colour))
