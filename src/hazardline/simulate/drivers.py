"""Drivers and walkers at 30 Hz: pure pursuit across, IDM and a delayed emergency brake along.

IDM is Treiber, Hennecke and Helbing (2000). A driver brakes hard only a reaction time after the danger could be seen.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from panda3d.core import Vec3

from hazardline.simulate.kinds import GRAVITY

if TYPE_CHECKING:
    from hazardline.simulate.world import Agent


class Steps:
    """Time between two decisions of a driver, and between two physics steps."""

    DECISION_S = 1 / 30
    PHYSICS_S = 1 / 120


@dataclass(frozen=True, slots=True)
class Swerve:
    """A smooth sideways shift of the path (metres, to the driver's right) that begins at a time."""

    start_s: float
    duration_s: float
    shift_m: float


@dataclass(frozen=True, slots=True)
class BrakeOrder:
    """Brake at least this hard from `start_s` to `end_s`, whatever stands ahead."""

    start_s: float
    decel_mps2: float
    end_s: float = 1e9


@dataclass(frozen=True, slots=True)
class Slip:
    """Loss of grip: the rear wheels keep a share of their friction while the steering is jerked to one side."""

    start_s: float
    duration_s: float
    steer_deg: float
    grip: float


@dataclass(slots=True)
class Driver:
    """What a driver wants and can do."""

    path: list[tuple[float, float]]
    speed_mps: float
    max_decel_mps2: float
    reaction_s: float = 1.0
    headway_s: float = 1.2
    attentive: bool = True
    """False: never brakes for others."""
    brakes_after_crash: bool = True
    swerves: list[Swerve] = field(default_factory=list)
    brakes: list[BrakeOrder] = field(default_factory=list)
    slip: Slip | None = None
    slipping: bool = False
    seen_s: dict[str, float] = field(default_factory=dict)
    """When each danger was first perceivable."""


@dataclass(slots=True)
class Walk:
    """A straight walk or ride that begins at a time and may stop short."""

    start: tuple[float, float]
    end: tuple[float, float]
    start_s: float
    speed_mps: float
    stop_after_m: float | None = None


def walk(agent: "Agent", route: Walk, now: float) -> None:
    """Move a walker along its route until it is struck."""
    if agent.crashed_s is not None or now < route.start_s:
        return
    dx, dy = route.end[0] - route.start[0], route.end[1] - route.start[1]
    length = math.hypot(dx, dy)
    done = ((agent.x - route.start[0]) * dx + (agent.y - route.start[1]) * dy) / length
    limit = length if route.stop_after_m is None else min(length, route.stop_after_m)
    speed = route.speed_mps if done < limit else 0.0
    vertical = agent.node.getLinearVelocity()[2]
    agent.node.setLinearVelocity(Vec3(dx / length * speed, dy / length * speed, vertical))


def drive(agent: "Agent", driver: Driver, agents: "list[Agent]", now: float, friction: float) -> None:
    """Decide steering and acceleration of one vehicle and hand them to its chassis."""
    steer = _pursue(agent, driver, now)
    acceleration = _accelerate(agent, driver, agents, now)
    slip = driver.slip
    if slip is not None and slip.start_s <= now < slip.start_s + slip.duration_s:
        steer, acceleration = slip.steer_deg, min(acceleration, -0.5)
        _set_rear_grip(agent, driver, friction * slip.grip, True)
    elif driver.slipping:
        _set_rear_grip(agent, driver, friction, False)
    if slip is not None and now >= slip.start_s + 0.4:
        acceleration = min(acceleration, -0.5 * friction * GRAVITY)
    if agent.crashed_s is not None and driver.brakes_after_crash:
        acceleration = 0.0 if now - agent.crashed_s < 0.25 else -0.65 * friction * GRAVITY
        steer = agent.steer_deg * 0.5
    agent.steer_deg += max(-2.2, min(2.2, steer - agent.steer_deg))
    _apply(agent, acceleration)


def _set_rear_grip(agent: "Agent", driver: Driver, friction: float, slipping: bool) -> None:
    if driver.slipping != slipping:
        for index in (2, 3):
            agent.chassis.getWheel(index).setFrictionSlip(friction)
        driver.slipping = slipping


def _apply(agent: "Agent", acceleration: float) -> None:
    stopping = agent.speed < 0.4 and acceleration < 0
    agent.braking = acceleration < -0.8 or stopping
    mass, chassis = agent.shape.mass_kg, agent.chassis
    force, brake = 0.0, 0.0
    if acceleration >= 0:
        force = mass * acceleration / 4
    else:
        brake = mass * (6.0 if stopping else -acceleration) * Steps.PHYSICS_S / 4
    for wheel in range(4):
        if wheel < 2:
            chassis.setSteeringValue(-agent.steer_deg, wheel)
        chassis.applyEngineForce(force, wheel)
        chassis.setBrake(brake, wheel)


def shift_at(driver: Driver, now: float) -> float:
    """Sideways shift of the path at a time, in metres to the driver's right (smoothstep of each swerve)."""
    total = 0.0
    for swerve in driver.swerves:
        part = max(0.0, min(1.0, (now - swerve.start_s) / swerve.duration_s))
        total += swerve.shift_m * part * part * (3 - 2 * part)
    return total


def _pursue(agent: "Agent", driver: Driver, now: float) -> float:
    ahead = max(4.5, 0.75 * agent.speed)
    tx, ty, ux, uy = _target(agent.x, agent.y, driver.path, ahead)
    if driver.swerves:
        shift = shift_at(driver, now + 0.35)
        tx, ty = tx + uy * shift, ty - ux * shift
    dx, dy = tx - agent.x, ty - agent.y
    across = dx * agent.fy - dy * agent.fx
    curvature = 2 * across / (dx * dx + dy * dy)
    steer = math.degrees(math.atan(curvature * agent.shape.length_m * 0.62))
    return max(-32.0, min(32.0, steer))


def _target(x: float, y: float, path: list[tuple[float, float]], ahead: float) -> tuple[float, float, float, float]:
    """Point `ahead` metres along the path from the point nearest to (x, y), and the path's direction there."""
    best = (1e18, 0, 0.0)
    segments = []
    for index in range(len(path) - 1):
        (ax, ay), (bx, by) = path[index], path[index + 1]
        length = math.hypot(bx - ax, by - ay)
        ux, uy = (bx - ax) / length, (by - ay) / length
        segments.append((ax, ay, ux, uy, length))
        along = (x - ax) * ux + (y - ay) * uy
        along = max(0.0, along) if index else along
        along = min(along, length)
        distance = (ax + ux * along - x) ** 2 + (ay + uy * along - y) ** 2
        if distance < best[0]:
            best = (distance, index, along)
    _, index, along = best
    along += ahead
    while along > segments[index][4] and index + 1 < len(segments):
        along -= segments[index][4]
        index += 1
    ax, ay, ux, uy, _ = segments[index]
    return ax + ux * along, ay + uy * along, ux, uy


def _leader(agent: "Agent", agents: "list[Agent]") -> "tuple[float, float, Agent] | None":
    """Nearest agent in the corridor that the vehicle will sweep: gap (m), closing speed (m/s), who."""
    best: tuple[float, float, Agent] | None = None
    fx, fy, half_width = agent.fx, agent.fy, agent.shape.width_m / 2
    for other in agents:
        if other is agent:
            continue
        dx, dy = other.x - agent.x, other.y - agent.y
        along = dx * fx + dy * fy
        if along < 0 or along > 70:
            continue
        across = dx * fy - dy * fx
        if abs(across) > 14:
            continue
        turned = abs(other.fx * fx + other.fy * fy)
        half_length = (other.shape.length_m * turned + other.shape.width_m * (1 - turned)) / 2
        half_across = (other.shape.width_m * turned + other.shape.length_m * (1 - turned)) / 2
        soon = across + (other.vx * fy - other.vy * fx) * 0.35
        if min(abs(across), abs(soon)) < half_width + half_across + 0.15 or across * soon < 0:
            gap = along - agent.shape.length_m / 2 - half_length
            if best is None or gap < best[0]:
                best = (gap, agent.speed - (other.vx * fx + other.vy * fy), other)
    return best


def _accelerate(agent: "Agent", driver: Driver, agents: "list[Agent]", now: float) -> float:
    free = min(2.0, 1.2 * (1 - (max(agent.speed, 0.0) / max(driver.speed_mps, 0.1)) ** 4))
    acceleration = max(free, -3.0)
    leader = _leader(agent, agents) if driver.attentive else None
    if leader is not None:
        gap, closing, other = leader
        ttc = gap / closing if closing > 0.3 else 99.0
        wanted = 2.0 + max(0.0, agent.speed * driver.headway_s + agent.speed * closing / 3.873)
        idm = acceleration - 1.5 * (wanted / max(gap, 0.3)) ** 2 if gap > 0 else -9.0
        if ttc < 3.0 or idm < -3.0:
            first_seen = driver.seen_s.setdefault(other.name, now)
            reacted = now - first_seen >= driver.reaction_s
            acceleration = -driver.max_decel_mps2 if reacted else max(idm, -0.3)
        else:
            driver.seen_s.pop(other.name, None)
            acceleration = max(idm, -3.0)
    for order in driver.brakes:
        if order.start_s <= now < order.end_s:
            acceleration = min(acceleration, -order.decel_mps2)
    return acceleration
