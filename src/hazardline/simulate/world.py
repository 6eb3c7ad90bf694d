"""A Bullet world of vehicles and walkers, stepped at 120 Hz, with drivers at 30 Hz and one record a video frame.

Units are SI; the ego vehicle drives along +y, x points to its right, z up. Knows nothing of labels or pictures.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from panda3d.bullet import (
    BulletBoxShape,
    BulletPlaneShape,
    BulletRigidBodyNode,
    BulletVehicle,
    BulletWorld,
    ZUp,
)
from panda3d.core import NodePath, Point3, TransformState, Vec3

from hazardline.simulate.drivers import Driver, Steps, Walk, drive, walk
from hazardline.simulate.geometry import obb_gap, swept_ttc
from hazardline.simulate.kinds import GRAVITY, SHAPES, Kind, Shape

STEP_S = 1 / 120
STEPS_PER_DECISION = 4
RIDE_HEIGHT_M = 0.66
"""Height of a vehicle's origin above the road when its suspension is at rest."""
CONTACT_IMPULSE_NS = 5.0
"""Weaker contacts are resting ones."""
CLOSING_MPS = 1.5
"""Slower approaches have no time to collision."""
_CLOSE_M = 22.0


@dataclass(slots=True, eq=False)
class Agent:
    """A road user: constants, its state at the last decision, and its Bullet bodies."""

    name: str
    kind: Kind
    colour: str
    shape: Shape
    node: Any
    path: Any
    chassis: Any = None
    """The BulletVehicle; None for walkers, parked and scripted vehicles."""
    driver: Driver | None = None
    walk: Walk | None = None
    velocity: tuple[float, float] | None = None
    """Constant velocity of a scripted background vehicle."""
    x: float = 0.0
    y: float = 0.0
    fx: float = 0.0
    fy: float = 1.0
    vx: float = 0.0
    vy: float = 0.0
    speed: float = 0.0
    steer_deg: float = 0.0
    braking: bool = False
    crashed_s: float | None = None

    @property
    def is_walker(self) -> bool:
        """True for pedestrians and cyclists."""
        return self.walk is not None

    def read_state(self) -> None:
        """Copy position, heading and velocity out of Bullet."""
        position = self.path.getPos()
        forward = self.path.getQuat().xform(Vec3(0, 1, 0))
        velocity = self.velocity or self.node.getLinearVelocity()
        self.x, self.y = position[0], position[1]
        self.fx, self.fy = forward[0], forward[1]
        self.vx, self.vy = velocity[0], velocity[1]
        self.speed = self.vx * self.fx + self.vy * self.fy


@dataclass(frozen=True, slots=True)
class Pose:
    """One agent at one video frame."""

    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    speed_mps: float
    braking: bool
    crashed: bool


@dataclass(frozen=True, slots=True)
class Contact:
    """An impulse between two bodies within one physics step."""

    time_s: float
    first: str
    second: str
    impulse_ns: float

    @property
    def pair(self) -> frozenset[str]:
        """Names of the two bodies."""
        return frozenset((self.first, self.second))


@dataclass(slots=True)
class Approach:
    """How close two agents came, and when."""

    gap_m: float = 99.0
    gap_at_s: float = 0.0
    ttc_s: float = 99.0
    """Least gap / closing speed while the gap closes faster than 1.5 m/s."""
    ttc_at_s: float = 0.0
    course_ttc_s: float = 99.0
    """Least time to a touch if both kept their velocity."""
    last_gap_m: float = 99.0
    last_at_s: float = -1.0

    def note(self, gap: float, now: float) -> None:
        """Take in the gap (metres) at a time (seconds)."""
        if 0 < now - self.last_at_s < 0.05:
            closing = (self.last_gap_m - gap) / (now - self.last_at_s)
            if closing > CLOSING_MPS and gap / closing < self.ttc_s:
                self.ttc_s, self.ttc_at_s = gap / closing, now
        if gap < self.gap_m:
            self.gap_m, self.gap_at_s = gap, now
        self.last_gap_m, self.last_at_s = gap, now


@dataclass
class World:
    """The scene in motion. `watched` names the agents whose approaches to one another are measured."""

    friction: float
    fps: int
    watched: set[str] = field(default_factory=set)
    agents: list[Agent] = field(default_factory=list)
    contacts: list[Contact] = field(default_factory=list)
    approaches: dict[tuple[str, str], Approach] = field(default_factory=dict)
    frames: list[list[Pose]] = field(default_factory=list)
    step: int = 0

    def __post_init__(self) -> None:
        """Make the Bullet world with its ground."""
        self._bullet = BulletWorld()
        self._bullet.setGravity(Vec3(0, 0, -GRAVITY))
        self._root = NodePath("world")
        ground = BulletRigidBodyNode("ground")
        ground.addShape(BulletPlaneShape(Vec3(0, 0, 1), 0))
        ground.setFriction(0.8)
        self._attach(ground)
        self._by_name: dict[str, Agent] = {}
        self._may_touch = True
        self._steps_per_frame = round(1 / STEP_S / self.fps)

    @property
    def time_s(self) -> float:
        """Seconds since the start."""
        return self.step * STEP_S

    def agent(self, name: str) -> Agent:
        """The agent of that name."""
        return self._by_name[name]

    def _attach(self, node: Any) -> Any:
        path = self._root.attachNewNode(node)
        self._bullet.attachRigidBody(node)
        return path

    def _add(self, agent: Agent) -> Agent:
        self.agents.append(agent)
        self._by_name[agent.name] = agent
        agent.read_state()
        return agent

    def add_vehicle(self, name: str, kind: Kind, colour: str, driver: Driver) -> Agent:
        """A driven vehicle on a ray-cast chassis, at the start of its driver's path and at its speed."""
        shape = SHAPES[kind]
        (x0, y0), (x1, y1) = driver.path[0], driver.path[1]
        length = math.hypot(x1 - x0, y1 - y0)
        node = BulletRigidBodyNode(name)
        body_half_height = (shape.height_m - 0.35) / 2 * 0.62
        node.addShape(
            BulletBoxShape(Vec3(shape.width_m / 2, shape.length_m / 2, body_half_height)),
            TransformState.makePos(Point3(0, 0, 0.12)),
        )
        node.setMass(shape.mass_kg)
        node.setFriction(0.35)
        node.setRestitution(0.12)
        node.setDeactivationEnabled(False)
        node.setAngularDamping(0.25)
        node.setLinearDamping(0.01)
        path = self._attach(node)
        path.setPosHpr(x0, y0, RIDE_HEIGHT_M, math.degrees(math.atan2(x0 - x1, y1 - y0)), 0, 0)
        chassis = BulletVehicle(self._bullet, node)
        chassis.setCoordinateSystem(ZUp)
        self._bullet.attachVehicle(chassis)
        for side, end in ((-1, 1), (1, 1), (-1, -1), (1, -1)):
            wheel = chassis.createWheel()
            x, y = side * (shape.width_m / 2 - 0.1), end * shape.length_m * 0.31
            wheel.setChassisConnectionPointCs(Point3(x, y, -0.02))
            wheel.setFrontWheel(end > 0)
            wheel.setWheelDirectionCs(Vec3(0, 0, -1))
            wheel.setWheelAxleCs(Vec3(1, 0, 0))
            wheel.setWheelRadius(0.33)
            wheel.setMaxSuspensionTravelCm(35)
            wheel.setSuspensionStiffness(28)
            wheel.setWheelsDampingRelaxation(3.0)
            wheel.setWheelsDampingCompression(4.2)
            wheel.setFrictionSlip(self.friction)
            wheel.setRollInfluence(0.12)
        node.setLinearVelocity(Vec3(x1 - x0, y1 - y0, 0) / length * driver.speed_mps)
        return self._add(Agent(name, kind, colour, shape, node, path, chassis, driver=driver))

    def add_walker(self, name: str, kind: Kind, colour: str, route: Walk) -> Agent:
        """A pedestrian or cyclist: an upright box that is thrown when it is struck."""
        shape = SHAPES[kind]
        (x0, y0), (x1, y1) = route.start, route.end
        node = BulletRigidBodyNode(name)
        node.addShape(BulletBoxShape(Vec3(shape.width_m / 2, shape.length_m / 2, shape.height_m / 2)))
        node.setMass(shape.mass_kg)
        node.setFriction(0.6)
        node.setAngularFactor(Vec3(0, 0, 0))
        node.setDeactivationEnabled(False)
        path = self._attach(node)
        heading = math.degrees(math.atan2(x0 - x1, y1 - y0))
        path.setPosHpr(x0, y0, shape.height_m / 2 + 0.02, heading, 0, 0)
        return self._add(Agent(name, kind, colour, shape, node, path, walk=route))

    def add_parked(self, name: str, kind: Kind, colour: str, x: float, y: float, heading_deg: float) -> Agent:
        """A parked vehicle: a box with its real mass, held by friction, that can be pushed."""
        shape = SHAPES[kind]
        node = BulletRigidBodyNode(name)
        node.addShape(BulletBoxShape(Vec3(shape.width_m / 2, shape.length_m / 2, shape.height_m / 2)))
        node.setMass(shape.mass_kg)
        node.setFriction(0.75)
        path = self._attach(node)
        path.setPosHpr(x, y, shape.height_m / 2, heading_deg, 0, 0)
        return self._add(Agent(name, kind, colour, shape, node, path))

    def add_scripted(
        self, name: str, kind: Kind, colour: str, start: tuple[float, float], velocity: tuple[float, float]
    ) -> Agent:
        """A background vehicle at constant velocity that nothing moves (kinematic)."""
        shape = SHAPES[kind]
        node = BulletRigidBodyNode(name)
        node.addShape(BulletBoxShape(Vec3(shape.width_m / 2, shape.length_m / 2, shape.height_m / 2)))
        node.setMass(0)
        node.setKinematic(True)
        path = self._attach(node)
        heading = math.degrees(math.atan2(-velocity[0], velocity[1]))
        path.setPosHpr(start[0], start[1], shape.height_m / 2, heading, 0, 0)
        return self._add(Agent(name, kind, colour, shape, node, path, velocity=velocity))

    def add_bump(self, y: float, half_width: float, height: float, half_length: float) -> None:
        """A speed bump across the road: three boxes that a wheel climbs in steps."""
        for part, (length, rise) in enumerate(((1.0, 0.4), (0.7, 0.75), (0.4, 1.0))):
            node = BulletRigidBodyNode(f"bump{part}")
            node.addShape(BulletBoxShape(Vec3(half_width, half_length * length, height * rise / 2)))
            self._attach(node).setPos(0, y, height * rise / 2)

    def add_wall(self, x: float, span_y: tuple[float, float], half_width: float) -> None:
        """A row of houses along the road that nothing drives through; hitting it is no event."""
        node = BulletRigidBodyNode("wall")
        node.addShape(BulletBoxShape(Vec3(half_width, (span_y[1] - span_y[0]) / 2, 4.0)))
        node.setFriction(0.5)
        self._attach(node).setPos(x, (span_y[0] + span_y[1]) / 2, 4.0)

    def run_until(self, time_s: float) -> None:
        """Step to a time (seconds since the start)."""
        last = round(time_s / STEP_S)
        while self.step < last:
            if self.step % STEPS_PER_DECISION == 0:
                self._decide()
            if self.step % self._steps_per_frame == 0:
                self.frames.append([_pose(agent) for agent in self.agents])
            self._bullet.doPhysics(STEP_S, 1, STEP_S)
            self.step += 1
            if self._may_touch:
                self._read_contacts()

    def _decide(self) -> None:
        now = self.time_s
        for agent in self.agents:
            if agent.velocity is not None:
                agent.path.setPos(
                    agent.path.getX() + agent.velocity[0] * Steps.DECISION_S,
                    agent.path.getY() + agent.velocity[1] * Steps.DECISION_S,
                    agent.path.getZ(),
                )
            agent.read_state()
        self._may_touch = self._anyone_is_near()
        self._measure_approaches(now)
        for agent in self.agents:
            if agent.driver is not None:
                drive(agent, agent.driver, self.agents, now, self.friction)
            elif agent.walk is not None:
                walk(agent, agent.walk, now)

    def _anyone_is_near(self) -> bool:
        """Whether two agents, one of them moving, could touch before the next decision (contacts cost time to read)."""
        for index, first in enumerate(self.agents):
            if first.driver is None and first.walk is None:
                continue
            reach = first.shape.length_m * 0.6 + 2.0
            for other, second in enumerate(self.agents):
                dx, dy = first.x - second.x, first.y - second.y
                near = reach + second.shape.length_m * 0.6
                if dx * dx + dy * dy < near * near and other != index:
                    return True
        return False

    def _measure_approaches(self, now: float) -> None:
        watched = [agent for agent in self.agents if agent.name in self.watched]
        for index, first in enumerate(watched):
            for second in watched[index + 1 :]:
                dx, dy = first.x - second.x, first.y - second.y
                if dx * dx + dy * dy > _CLOSE_M**2:
                    continue
                approach = self.approaches.setdefault((first.name, second.name), Approach())
                approach.note(obb_gap(first, second), now)
                relative = math.hypot(first.vx - second.vx, first.vy - second.vy)
                if relative > CLOSING_MPS:
                    approach.course_ttc_s = min(approach.course_ttc_s, swept_ttc(first, second))

    def _read_contacts(self) -> None:
        for index in range(self._bullet.getNumManifolds()):
            manifold = self._bullet.getManifold(index)
            points = manifold.getNumManifoldPoints()
            if points == 0:
                continue
            first, second = manifold.getNode0().getName(), manifold.getNode1().getName()
            if first not in self._by_name or second not in self._by_name:
                continue
            impulse = sum(manifold.getManifoldPoint(k).getAppliedImpulse() for k in range(points))
            if impulse <= CONTACT_IMPULSE_NS:
                continue
            self.contacts.append(Contact(self.time_s, first, second, impulse))
            for name in (first, second):
                agent = self._by_name[name]
                if agent.crashed_s is None:
                    agent.crashed_s = self.time_s
                    if agent.is_walker:
                        agent.node.setAngularFactor(Vec3(1, 1, 1))


def collect_garbage() -> None:
    """Free the transforms that stepping left behind; Panda3D would do so half by half at each rendered frame."""
    for _ in range(2):
        TransformState.garbageCollect()


def _pose(agent: Agent) -> Pose:
    x, y, z = agent.path.getPos()
    q = agent.path.getQuat()
    velocity = agent.velocity or agent.node.getLinearVelocity()
    return Pose(
        (x, y, z),
        (q[0], q[1], q[2], q[3]),
        math.hypot(velocity[0], velocity[1]),
        agent.braking,
        agent.crashed_s is not None,
    )
