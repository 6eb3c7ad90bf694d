"""One work item: a scene, sampled until it is what its family says, and written as one or two clips.

A scene is a pure function of the configuration's seed and its own name, whatever worker makes it and when.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hazardline.files import write_atomic
from hazardline.simulate.camera import covered_share
from hazardline.simulate.clip import describe, first_frame, shoot, visibility_fault
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.families import Family, Surroundings, derive_seed, sample_scenario, sample_surroundings
from hazardline.simulate.mp4 import encode
from hazardline.simulate.outcome import Outcome, simulate
from hazardline.simulate.render import Renderer
from hazardline.simulate.staging import Stage
from hazardline.simulate.still import describe_still, draw_stills, encode_png, moments
from hazardline.simulate.twins import find_twin

_LEAST_PROJECTED_SHARE = 0.012
_LEAST_EARLIER_SHARE = 0.0015


@dataclass(frozen=True, slots=True, order=True)
class SceneName:
    """Which scene: pairs and normal scenes are numbered apart, so asking for more of one leaves the other alone."""

    sort: Literal["pair", "normal"]
    number: int

    def family(self, config: SimulateConfig) -> Family:
        """Families take turns."""
        families = config.hazard_families() if self.sort == "pair" else config.normal_families()
        return families[self.number % len(families)]

    def seed(self, config: SimulateConfig) -> int:
        """Seed of the scene."""
        return derive_seed(config.seed, self.sort, self.number)


@dataclass
class SceneResult:
    """What became of a scene: its manifest lines, or no lines and the seed that failed."""

    name: SceneName
    family: str
    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def make_scene(config: SimulateConfig, name: SceneName, renderer: Renderer, out: Path) -> SceneResult:
    """Sample, simulate, render and write one scene into `out/videos`."""
    family, seed = name.family(config), name.seed(config)
    around = sample_surroundings(config, family, seed)
    result = SceneResult(name, family, seed)
    for attempt in range(config.max_attempts):
        make = _try_pair if name.sort == "pair" else _try_normal
        played = make(config, family, around, derive_seed(seed, attempt))
        write = _write_clips if config.media == "video" else _write_images
        rows = played if isinstance(played, str) else write(config, name, played, renderer, out)
        if isinstance(rows, str):
            result.rejected[rows] += 1
            continue
        result.rows += rows
        result.rows.sort(key=lambda row: str(row["clip_id"]))
        return result
    return result


Played = tuple[str, Stage, Outcome]
"""A label, and the scene that was played to its end for it."""


def _try_pair(config: SimulateConfig, family: Family, around: Surroundings, seed: int) -> list[Played] | str:
    """A near miss and (where they are wanted) the crash that it is the twin of, or why this sample has none."""
    scenario = sample_scenario(family, around, config, seed)
    stage, outcome = simulate(scenario, config.fps)
    if outcome.verdict != "crash":
        return outcome.reason or outcome.verdict
    if not _fits_window(stage, outcome):
        return "the crash comes too early for its place in the clip"
    if not _in_view(stage, outcome, config):
        return "the crash is out of view"
    found = find_twin(scenario, config.fps, lambda twin, end: _fits_window(twin, end) and _in_view(twin, end, config))
    if found is None:
        return "no near-miss twin in view"
    twin_stage, twin_outcome = found
    _finish(twin_stage, twin_outcome.event_s)
    if twin_stage.world.contacts:
        return "the near miss ends in a contact"
    played: list[Played] = [("near_miss", twin_stage, twin_outcome)]
    return [*played, ("crash", stage, outcome)] if config.write_crashes else played


def _try_normal(config: SimulateConfig, family: Family, around: Surroundings, seed: int) -> list[Played] | str:
    scenario = sample_scenario(family, around, config, seed)
    stage, outcome = simulate(scenario, config.fps)
    if outcome.verdict == "normal":
        _finish(stage, scenario.conflict_s)
        if stage.world.contacts:
            return "a normal scene ends in a contact"
        return [("normal", stage, outcome)]
    return outcome.reason or outcome.verdict


def _write_clips(
    config: SimulateConfig, name: SceneName, played: list[Played], renderer: Renderer, out: Path
) -> list[dict[str, Any]] | str:
    """Render and write the clips of a scene; their manifest lines, or why a person could not see the event."""
    seed = name.seed(config)
    shots = []
    for label, stage, outcome in played:
        if label == "crash":
            _finish(stage, outcome.event_s)
        shot = shoot(renderer, stage, outcome)
        fault = visibility_fault(shot) if label != "normal" else None
        if fault is not None:
            return fault
        shots.append((label, shot))
    pair_id = f"{derive_seed(seed, 'pair'):016x}" if name.sort == "pair" else None
    rows = []
    for label, shot in shots:
        clip = describe(shot, label, seed, pair_id)
        write_atomic(out / clip.video, encode([frame.picture for frame in shot.frames], config.fps))
        rows.append(clip.data())
    return rows


def _write_images(
    config: SimulateConfig, name: SceneName, played: list[Played], renderer: Renderer, out: Path
) -> list[dict[str, Any]]:
    """Render and write the images of a scene; their manifest lines."""
    rows: list[dict[str, Any]] = []
    taken: set[int] = set()
    for label, stage, outcome in played:
        stills = draw_stills(renderer, stage, moments(stage, outcome, config.images_per_scene, taken))
        for number, (frame, truth) in enumerate(stills):
            image = describe_still(stage, truth, label, number, name.seed(config))
            write_atomic(out / image.video, encode_png(frame.picture))
            rows.append(image.data())
    return rows


def _finish(stage: Stage, event_s: float) -> None:
    """Run on to the last frame of the clip's window."""
    frames = first_frame(stage, event_s) + stage.scenario.around.clip_frames
    stage.world.run_until(max(stage.world.time_s, frames / stage.world.fps))


def _fits_window(stage: Stage, outcome: Outcome) -> bool:
    """Whether the clip can begin early enough to put the event at its own fraction."""
    around = stage.scenario.around
    return outcome.event_s * stage.world.fps >= around.event_fraction * around.clip_frames - 0.5


def _in_view(stage: Stage, outcome: Outcome, config: SimulateConfig) -> bool:
    """Whether the risk agent can be seen at the event and half a second before, by projection alone."""
    world, aspect = stage.world, config.width_px / config.height_px
    row = next(index for index, agent in enumerate(world.agents) if agent.name == stage.risk)
    shape = world.agents[row].shape
    for earlier_s, least in ((0.0, _LEAST_PROJECTED_SHARE), (0.5, _LEAST_EARLIER_SHARE)):
        poses = world.frames[max(0, int((outcome.event_s - earlier_s) * world.fps))]
        if covered_share(stage.scenario.around.camera, poses[0], poses[row], shape, aspect) < least:
            return False
    return True
