"""Still images out of a simulated scene, with the exact truth of what is in each (HazardNet's material).

A hazard's images are taken in the seconds before its event, so that the danger is there and nothing has happened yet; a
normal scene's anywhere in its clip. Crash and near-miss twin look alike until late: neither tells an image's truth.
"""

import io
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from hazardline.native import Heading, NativeClip, RoadKind, StillObject, StillTruth
from hazardline.simulate.clip import MIN_BOX_PX, SOURCE, Tracks, clip_id, first_frame, track
from hazardline.simulate.families import derive_seed
from hazardline.simulate.outcome import Outcome
from hazardline.simulate.render import Frame, Renderer
from hazardline.simulate.staging import EGO_HALF_M, Stage
from hazardline.simulate.world import Agent, Pose

_BEFORE_EVENT_S = (0.3, 2.8)
_MOVING_MPS = 0.8
_AHEAD_M = 45.0
_VISIBLE_SHARE = 0.0004
"""Least share of the picture that a road user must cover to be in the truth."""


def moments(stage: Stage, outcome: Outcome, count: int, taken: set[int]) -> list[int]:
    """Indices of the world's frames that become images: one in each of `count` equal parts of the time allowed.

    Args:
        stage: the scene.
        outcome: how it ended.
        count: images wanted.
        taken: indices that its twin has used, to which these are added: up to where they part, twins are the same.
    """
    around, fps = stage.scenario.around, stage.world.fps
    rng = np.random.default_rng(derive_seed(stage.scenario.seed, "images"))
    if outcome.pair:
        low, high = outcome.event_s - _BEFORE_EVENT_S[1], outcome.event_s - _BEFORE_EVENT_S[0]
    else:
        start = first_frame(stage, stage.scenario.conflict_s)
        low, high = start / fps, (start + around.clip_frames - 1) / fps
    low, high = max(low, 0.2), max(high, 0.4)
    edges = np.linspace(low, high, count + 1)
    found = []
    for begin, end in pairwise(edges):
        wished = round(float(rng.uniform(begin, end)) * fps)
        free = (index for index in range(len(stage.world.frames)) if index not in taken)
        found.append(min(free, key=lambda index: abs(index - wished)))
        taken.add(found[-1])
    return sorted(found)


def draw_stills(renderer: Renderer, stage: Stage, indices: list[int]) -> list[tuple[Frame, StillTruth]]:
    """Render some frames of a scene whose world has run to its end."""
    renderer.open_scene(stage)
    found = []
    for index in indices:
        frame = renderer.draw(index)
        if stage.scenario.around.left_hand:
            frame = Frame(np.ascontiguousarray(frame.picture[:, ::-1]), frame.identities[:, ::-1])
        tracks = {figure.agent.name: track([frame], figure.identity) for figure in renderer.figures}
        found.append((frame, truth_of(stage, index, tracks, frame.identities.size)))
    return found


def truth_of(stage: Stage, index: int, tracks: dict[str, Tracks], num_pixels: int) -> StillTruth:
    """What is to be seen in one frame.

    Args:
        stage: the scene.
        index: of the world's frame.
        tracks: visible box of each road user in this one frame.
        num_pixels: of the picture.
    """
    poses, road, around = stage.world.frames[index], stage.road, stage.scenario.around
    ego, before = poses[0], stage.world.frames[max(0, index - 1)]
    least = max(MIN_BOX_PX, round(_VISIBLE_SHARE * num_pixels))
    objects = [
        _object(agent, (earlier, pose), ego, tracks[agent.name], -1.0 if around.left_hand else 1.0)
        for agent, earlier, pose in zip(stage.world.agents[1:], before[1:], poses[1:], strict=True)
        if agent.name in tracks and tracks[agent.name].frames and tracks[agent.name].visible_px[0] >= least
    ]
    front_y = ego.position[1] + EGO_HALF_M
    stop_line_m = _ahead(-road.kerb_m - 2.0 - front_y) if road.junction else None
    bumps = [distance for y in road.bumps_y if (distance := _ahead(y - front_y)) is not None]
    return StillTruth(
        road=_road(stage, stop_line_m is not None),
        lanes=road.lanes,
        ego_speed_mps=round(ego.speed_mps, 2),
        signal=("red" if road.signal == "red" else "green") if road.signal and stop_line_m is not None else None,
        stop_line_m=stop_line_m,
        crossing_m=_ahead(road.crossing_y - front_y) if road.crossing_y is not None else None,
        bump_m=min(bumps, default=None),
        objects=tuple(sorted(objects, key=lambda item: item.ahead_m**2 + item.right_m**2)),
    )


def _ahead(distance_m: float) -> float | None:
    return round(distance_m, 1) if 0 <= distance_m <= _AHEAD_M else None


def _road(stage: Stage, has_junction: bool) -> RoadKind:
    scene = stage.scenario.around.scene
    if has_junction:
        return "intersection"
    if scene == "highway":
        return "highway"
    return "narrow_lane" if stage.road.lanes == 1 else "urban_road"


def _object(agent: Agent, poses: tuple[Pose, Pose], ego: Pose, track: Tracks, mirror: float) -> StillObject:
    pose = poses[1]
    return StillObject(
        kind=agent.kind,
        colour=agent.colour,
        box=track.boxes[0],
        ahead_m=round(pose.position[1] - ego.position[1], 2),
        right_m=round(mirror * (pose.position[0] - ego.position[0]), 2),
        speed_mps=round(pose.speed_mps, 2),
        heading=_heading(*poses, mirror),
        braking=pose.braking,
    )


def _heading(earlier: Pose, pose: Pose, mirror: float) -> Heading:
    """Where it goes against the road, as the (perhaps mirrored) picture shows it."""
    if pose.speed_mps < _MOVING_MPS:
        return "still"
    across, along = (now - then for now, then in zip(pose.position[:2], earlier.position[:2], strict=True))
    if abs(along) >= abs(across):
        return "same" if along > 0 else "oncoming"
    return "from_left" if mirror * across > 0 else "from_right"


def describe_still(stage: Stage, truth: StillTruth, label: str, number: int, scene_seed: int) -> NativeClip:
    """The manifest line of an image; images of one scene share a pair id, so that no split parts them."""
    around = stage.scenario.around
    image_id = clip_id(scene_seed, f"{label}/image {number}")
    return NativeClip(
        clip_id=image_id,
        video=f"images/{image_id}.png",
        label="normal" if label == "normal" else "near_miss",
        pair_id=f"{derive_seed(scene_seed, 'pair'):016x}",
        source=SOURCE,
        scenario=stage.scenario.family,
        weather=around.weather,
        light=around.light,
        scene=around.scene,
        still=truth,
    )


def encode_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """PNG; the same picture always gives the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
