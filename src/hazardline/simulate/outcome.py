"""Labels: what a simulated scene turned out to be, from contact manifolds and measured approaches."""

import math
from dataclasses import dataclass
from typing import Literal

from hazardline.simulate.families import Scenario
from hazardline.simulate.scenario import build
from hazardline.simulate.staging import Stage
from hazardline.simulate.world import Approach, Pose, collect_garbage

CRASH_DELTA_V_MPS = 0.8
CRASH_DELTA_V_WALKER_MPS = 0.5
NEAR_MISS_TTC_S = 0.9
NEAR_MISS_GAP_M = 0.2, 2.5
PASS_GAP_M = 0.15, 1.2
"""The same where vehicles pass side by side: any oncoming car in its own lane is nearer than 2.5 m."""
IMPULSE_WINDOW_S = 0.35
SKID_DEG = 9.0
"""A vehicle that loses control turns by at least this much before it hits something; half of it to narrowly miss."""
_PASSING = ("head_on", "loss_of_control")
_GIVE_UP_S = 4.5

Verdict = Literal["crash", "near_miss", "normal", "reject"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, to whom, and when (seconds from the start of the simulation)."""

    verdict: Verdict
    reason: str = ""
    event_s: float = 0.0
    pair: tuple[str, str] | None = None
    delta_v_mps: float | None = None
    impulse_ns: float | None = None
    ttc_s: float | None = None
    gap_m: float | None = None


def simulate(scenario: Scenario, fps: int) -> tuple[Stage, Outcome]:
    """Build a scene and run it until its outcome is known. `stage.world.run_until` can go on from there."""
    stage = build(scenario, fps)
    world = stage.world
    limit = scenario.conflict_s + _GIVE_UP_S
    world.run_until(max(0.5, stage.hazard_s))
    while world.time_s < limit:
        world.run_until(world.time_s + 0.2)
        if world.contacts:
            world.run_until(world.contacts[0].time_s + IMPULSE_WINDOW_S + 0.05)
            break
        if world.time_s > scenario.conflict_s and _is_over(stage):
            break
    collect_garbage()
    return stage, judge(stage)


def _is_over(stage: Stage) -> bool:
    """True when all that came close is well apart again, or at rest."""
    if not stage.world.approaches:
        return False
    at_rest = all(abs(stage.world.agent(name).speed) < 0.3 for name in ("ego", *stage.actors))
    return at_rest or all(approach.last_gap_m > approach.gap_m + 4.0 for approach in stage.world.approaches.values())


def judge(stage: Stage) -> Outcome:
    """The verdict on what the world has recorded so far."""
    outcome = _judge_contact(stage) if stage.world.contacts else _judge_approach(stage)
    least = {"crash": SKID_DEG, "near_miss": 0.5 * SKID_DEG}.get(outcome.verdict)
    if stage.scenario.family == "loss_of_control" and least and _turned_deg(stage, outcome.event_s) < least:
        return Outcome("reject", "no skid can be seen")
    return outcome


def _turned_deg(stage: Stage, until_s: float) -> float:
    """Most that the vehicle that lost its grip has turned away from its lane before a time."""
    world = stage.world
    row = next(k for k, agent in enumerate(world.agents) if agent.driver is not None and agent.driver.slip is not None)
    turns = [_heading_deg(poses[row]) for poses in world.frames[: int(until_s * world.fps) + 1]]
    return max(abs((turn - turns[0] + 180) % 360 - 180) for turn in turns)


def _heading_deg(pose: Pose) -> float:
    w, _, _, z = pose.quaternion
    return math.degrees(2 * math.atan2(z, w))


def _judge_contact(stage: Stage) -> Outcome:
    world, first = stage.world, stage.world.contacts[0]
    if first.pair != {stage.risk, stage.victim}:
        return Outcome("reject", "another pair touched")
    names = (stage.victim, str(stage.risk))
    hits = [c for c in world.contacts if c.pair == first.pair and c.time_s < first.time_s + IMPULSE_WINDOW_S]
    impulse = sum(contact.impulse_ns for contact in hits)
    parties = [world.agent(name) for name in names]
    delta_v = impulse / min(agent.shape.mass_kg for agent in parties)
    needed = CRASH_DELTA_V_WALKER_MPS if any(a.is_walker for a in parties) else CRASH_DELTA_V_MPS
    if delta_v < needed:
        return Outcome("reject", "the contact was too weak")
    approach = _approach(stage, names)
    return Outcome("crash", "", first.time_s, names, delta_v, impulse, min(approach.ttc_s, 99.0), 0.0)


def _approach(stage: Stage, names: tuple[str, str]) -> Approach:
    approaches = stage.world.approaches
    return approaches.get(names) or approaches.get((names[1], names[0])) or Approach()


def _judge_approach(stage: Stage) -> Outcome:
    scenario, approaches = stage.scenario, stage.world.approaches
    if not scenario.is_hazard:
        return _judge_normal(stage)
    names = (stage.victim, str(stage.risk))
    approach = _approach(stage, names)
    if any(a.gap_m < NEAR_MISS_GAP_M[0] for a in approaches.values() if a is not approach):
        return Outcome("reject", "another pair nearly touched")
    gap = approach.gap_m
    low, high = PASS_GAP_M if scenario.family in _PASSING else NEAR_MISS_GAP_M
    if approach.ttc_s < NEAR_MISS_TTC_S and low <= gap <= high:
        return Outcome("near_miss", "", approach.ttc_at_s, names, ttc_s=approach.ttc_s, gap_m=gap)
    return Outcome("reject", "neither a crash nor a near miss", gap_m=gap, ttc_s=approach.ttc_s)


def _judge_normal(stage: Stage) -> Outcome:
    close = [a for a in stage.world.approaches.values() if a.course_ttc_s < 1.2 or a.gap_m < 0.35]
    if stage.scenario.family == "emergency_stop":
        close += [a for a in stage.world.approaches.values() if a.gap_m < 3.0]
    return Outcome("reject", "a normal scene came too close") if close else Outcome("normal")
