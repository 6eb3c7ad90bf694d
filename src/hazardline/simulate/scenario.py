"""Turns a sampled scenario into a world in motion: the ego vehicle, the actors of its family, and the background."""

import numpy as np

from hazardline.simulate.families import WITH_JUNCTION, Scenario
from hazardline.simulate.hazards import HAZARDS
from hazardline.simulate.kinds import GRAVITY, LANE_M, PARKING_M, VEHICLE_KINDS, VEHICLE_SHARES, Kind
from hazardline.simulate.normals import NORMALS
from hazardline.simulate.staging import EGO_HALF_M, FAR_M, Road, Stage, observed_gap_m
from hazardline.simulate.world import World


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
        stage.start_y -= observed_gap_m(scenario)
    ego = stage.driver((stage.ego_x, stage.start_y), (stage.ego_x, FAR_M), scenario.speed_mps)
    ego.reaction_s, ego.headway_s = scenario.reaction_s, 0.9
    ego.max_decel_mps2 = (0.7 + 0.25 * scenario.spare[5]) * around.friction * GRAVITY
    world.add_vehicle("ego", "car", "grey", ego)
    (HAZARDS | NORMALS)[scenario.family](stage, ego)
    _add_background(stage)
    world.watched = {"ego", *stage.actors}
    return stage


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
    if s.around.scene == "urban":
        far = road.kerb_m + 3 if road.junction else 0.0
        for side in (-1, 1):
            stage.world.add_wall(side * (road.kerb_m + 6.5), (stage.start_y - 50, -far), 3.0)
            stage.world.add_wall(side * (road.kerb_m + 6.5), (far, FAR_M), 3.0)
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
