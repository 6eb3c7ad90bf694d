"""Cuts a clip out of a simulated scene: window, pictures, exact truth."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from hazardline.native import AgentTrack, Box, GroundTruth, NativeClip, Times
from hazardline.simulate.outcome import Outcome
from hazardline.simulate.render import FIRST_ID, Frame, Renderer
from hazardline.simulate.staging import Stage
from hazardline.simulate.texts import tell

GENERATOR = "hazardline.simulate/1"
SOURCE = "simulator"
MIN_BOX_PX = 6
FIRST_SEEN_PX = 12
REST_MPS = 0.7
MAX_CRASH_S, MIN_CRASH_S = 2.0, 0.5
EVENT_SHARE = 0.01
"""Least share of the picture that the risk agent covers at the event."""
MIN_CONTRAST = 10.0
"""Least difference between a road user and what surrounds it, in grey levels of 255 (the largest of three channels)."""


@dataclass(frozen=True)
class Tracks:
    """Visible boxes of one agent over a clip."""

    frames: list[int]
    boxes: list[Box]
    visible_px: list[int]


@dataclass(frozen=True)
class Shot:
    """A rendered clip before it is written."""

    stage: Stage
    outcome: Outcome
    first_frame: int
    frames: list[Frame]
    tracks: dict[str, Tracks]

    @property
    def fps(self) -> int:
        """Frames a second."""
        return self.stage.world.fps

    @property
    def event_s(self) -> float:
        """Time of the event from the first frame of the clip."""
        return self.outcome.event_s - self.first_frame / self.fps

    @property
    def event_frame(self) -> int:
        """Index of the frame at or just before the event."""
        return min(max(int(self.event_s * self.fps + 1e-6), 0), len(self.frames) - 1)


def first_frame(stage: Stage, event_s: float) -> int:
    """First frame of the window that puts the event at the scene's own fraction of the clip."""
    around = stage.scenario.around
    return max(0, round(event_s * stage.world.fps - around.event_fraction * around.clip_frames))


def shoot(renderer: Renderer, stage: Stage, outcome: Outcome) -> Shot:
    """Render the window of a scene; the world must have run to its end."""
    event_s = outcome.event_s if outcome.pair else stage.scenario.conflict_s
    start = first_frame(stage, event_s)
    renderer.open_scene(stage)
    frames = [renderer.draw(k) for k in range(start, start + stage.scenario.around.clip_frames)]
    if stage.scenario.around.left_hand:
        frames = [Frame(np.ascontiguousarray(f.picture[:, ::-1]), f.identities[:, ::-1]) for f in frames]
    tracks = {figure.agent.name: track(frames, figure.identity) for figure in renderer.figures}
    return Shot(stage, outcome, start, frames, tracks)


def track(frames: list[Frame], identity: int) -> Tracks:
    """The visible boxes of one road user."""
    tracks = Tracks([], [], [])
    for index, frame in enumerate(frames):
        mask = frame.identities == identity
        count = int(np.count_nonzero(mask))
        if count < MIN_BOX_PX:
            continue
        height, width = mask.shape
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
        left, top, right, bottom = (round(float(v), 4) for v in box)
        tracks.frames.append(index)
        tracks.boxes.append((left, top, right, bottom))
        tracks.visible_px.append(count)
    return tracks


def visibility_fault(shot: Shot) -> str | None:
    """Why a person could not see this event, or None: size at the event, seen before, contrast."""
    tracks, at = shot.tracks[str(shot.stage.risk)], shot.event_frame
    frame = shot.frames[at]
    seen = dict(zip(tracks.frames, tracks.visible_px, strict=True))
    if seen.get(at, 0) < EVENT_SHARE * frame.identities.size:
        return "the risk agent is too small at the event"
    if sum(1 for k, px in seen.items() if k < at and px >= FIRST_SEEN_PX) < min(3, at):
        return "the risk agent was not visible before the event"
    mask = frame.identities == _identity(shot)
    left, top, right, bottom = tracks.boxes[tracks.frames.index(at)]
    height, width = mask.shape
    y0, y1 = max(0, int(top * height) - 4), min(height, int(bottom * height) + 4)
    x0, x1 = max(0, int(left * width) - 4), min(width, int(right * width) + 4)
    inside = mask[y0:y1, x0:x1]
    pixels = frame.picture[y0:y1, x0:x1].astype(np.float32)
    if inside.all():
        return None
    difference = np.abs(pixels[inside].mean(axis=0) - pixels[~inside].mean(axis=0)).max()
    if difference < MIN_CONTRAST and pixels[inside].std(axis=0).max() < 2.5 * MIN_CONTRAST:
        return "the risk agent has too little contrast"
    return None


def _identity(shot: Shot) -> int:
    return FIRST_ID + [agent.name for agent in shot.stage.world.agents].index(str(shot.stage.risk))


def clip_id(scene_seed: int, label: str) -> str:
    """Name of a clip: a hash that says nothing of its label or order."""
    return hashlib.sha256(f"hazardline clip/{scene_seed}/{label}".encode()).hexdigest()[:14]


def describe(shot: Shot, label: str, scene_seed: int, pair_id: str | None) -> NativeClip:
    """The manifest line of a clip."""
    stage, scenario = shot.stage, shot.stage.scenario
    around, name = scenario.around, clip_id(scene_seed, label)
    crash = label == "crash"
    involved = _involved(shot) if crash else sorted(shot.outcome.pair or ())
    story = tell(stage, around.left_hand) if crash else None
    return NativeClip(
        clip_id=name,
        video=f"videos/{name}.mp4",
        label="crash" if crash else "near_miss" if label == "near_miss" else "normal",
        times=_times(shot, label, involved),
        pair_id=pair_id,
        source=SOURCE,
        scenario=scenario.family,
        weather=around.weather,
        light=around.light,
        scene=around.scene,
        accident_type=story.accident_type if story else None,
        ego_involved="ego" in (shot.outcome.pair or ()) if label != "normal" else None,
        description=story.description if story else None,
        cause=story.cause if story else None,
        prevention=story.prevention if story else None,
        ground_truth=_truth(shot, label, involved),
    )


def _involved(shot: Shot) -> list[str]:
    """The two parties and whoever touches one of them before the crash can have ended; the ego first."""
    outcome, world = shot.outcome, shot.stage.world
    known = set(outcome.pair or ())
    end_s = min(outcome.event_s + MAX_CRASH_S, (shot.first_frame + len(shot.frames)) / shot.fps)
    for contact in world.contacts:
        if contact.time_s <= end_s and contact.pair & known:
            known |= contact.pair
    return sorted(known, key=lambda name: (name != "ego", name))


def _times(shot: Shot, label: str, involved: list[str]) -> Times:
    if label == "normal":
        return Times()
    if label == "near_miss":
        return Times(event_s=round(shot.event_s, 2))
    fps, stage = shot.fps, shot.stage
    start_s = shot.first_frame / fps
    seen = shot.tracks[str(stage.risk)]
    first = next((k / fps for k, px in zip(seen.frames, seen.visible_px, strict=True) if px >= FIRST_SEEN_PX), 0.0)
    onset = min(max(stage.hazard_s - start_s, first, 0.0), shot.event_s)
    return Times(
        pre_crash_start_s=round(onset, 2),
        crash_start_s=round(shot.event_s, 2),
        crash_end_s=round(_crash_end(shot, involved), 2),
    )


def _crash_end(shot: Shot, involved: list[str]) -> float:
    """Everyone involved at rest, or 2 s after the first contact; at least 0.5 s, and within the clip."""
    world, fps = shot.stage.world, shot.fps
    rows = [index for index, agent in enumerate(world.agents) if agent.name in involved]
    end = shot.event_s + MAX_CRASH_S
    for k in range(math.ceil(shot.event_s * fps) + 1, len(shot.frames)):
        poses = world.frames[shot.first_frame + k]
        if all(poses[row].speed_mps < REST_MPS for row in rows):
            end = min(end, k / fps)
            break
    return min(max(end, shot.event_s + MIN_CRASH_S), len(shot.frames) / fps)


def _truth(shot: Shot, label: str, involved: list[str]) -> GroundTruth:
    stage, outcome = shot.stage, shot.outcome
    world, mirror = stage.world, -1.0 if stage.scenario.around.left_hand else 1.0
    window = world.frames[shot.first_frame : shot.first_frame + len(shot.frames)]
    agents = []
    for row, agent in enumerate(world.agents):
        still = agent.driver is None and agent.walk is None and agent.velocity is None
        if still and agent.name not in {*involved, *stage.actors}:
            continue
        tracks = shot.tracks.get(agent.name, Tracks([], [], []))
        poses = [poses[row] for poses in window]
        agents.append(
            AgentTrack(
                name=agent.name,
                kind=agent.kind,
                colour=agent.colour,
                length_m=agent.shape.length_m,
                width_m=agent.shape.width_m,
                x_m=[round(mirror * pose.position[0], 3) for pose in poses],
                y_m=[round(pose.position[1], 3) for pose in poses],
                speed_mps=[round(pose.speed_mps, 3) for pose in poses],
                braking=[pose.braking for pose in poses],
                frames=tracks.frames,
                boxes=tracks.boxes,
                visible_px=tracks.visible_px,
            )
        )
    height, width = shot.frames[0].identities.shape
    hazard = label != "normal"
    risk = shot.tracks.get(str(stage.risk), Tracks([], [], []))
    boxes = dict(zip(risk.frames, risk.boxes, strict=True))
    return GroundTruth(
        generator=GENERATOR,
        seed=stage.scenario.seed,
        fps=float(shot.fps),
        num_frames=len(shot.frames),
        width_px=width,
        height_px=height,
        agents=agents,
        risk_agent=stage.risk if hazard else None,
        involved=tuple(involved) if hazard else (),
        min_ttc_s=_rounded(outcome.ttc_s if outcome.ttc_s is not None and outcome.ttc_s < 99 else None),
        delta_v_mps=_rounded(outcome.delta_v_mps),
        impulse_ns=_rounded(outcome.impulse_ns),
        risk_box_at_event=boxes.get(shot.event_frame) if hazard else None,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
