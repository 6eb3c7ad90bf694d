"""The stage on which a scenario is played: its road, its world, its actors, and who threatens whom.

The ego vehicle reaches y = 0, the place of conflict, at `scenario.conflict_s` if nothing disturbs it.
"""

from dataclasses import dataclass, field

from hazardline.simulate.drivers import Driver
from hazardline.simulate.families import Scenario
from hazardline.simulate.kinds import GRAVITY, LANE_M, SHAPES, Kind
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


def crosser(stage: Stage, arrival_s: float, target_x: float, **more: object) -> Driver:
    """A vehicle on the side road that reaches `target_x` at a time."""
    s = stage.scenario
    y = LANE_M / 2 * s.side
    x = target_x + s.side * max(s.other_speed_mps * arrival_s, 16.0)
    return stage.driver((x, y), (-s.side * FAR_M, y), s.other_speed_mps, **more)


def observed_gap_m(s: Scenario) -> float:
    """Distance from the ego's centre to that of the vehicle ahead that is to be hit."""
    return 8.0 + 5.0 * s.spare[0] + SHAPES[s.kinds[1]].length_m / 2
