"""What a scene is before it is built: its surroundings, drawn once, and its scenario, drawn anew at each attempt.

Surroundings (weather, light, camera, clip length, place of the event) never depend on the attempt, so rejecting scenes
cannot make them tell crash from near miss from normal.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from hazardline.native import Light, Scene, Weather
from hazardline.simulate.config import HAZARD_FAMILIES, HazardFamily, NormalFamily, SimulateConfig
from hazardline.simulate.kinds import COLOURS, NIGHT_COLOURS, VEHICLE_KINDS, VEHICLE_SHARES, Kind

Family = HazardFamily | NormalFamily

FRICTION: dict[Weather, float] = {"sunny": 0.9, "foggy": 0.85, "rainy": 0.6, "snowy": 0.38}
_WEATHERS: tuple[Weather, ...] = ("sunny", "rainy", "snowy", "foggy")
_NO_HIGHWAY = {
    "red_light",
    "dart_out",
    "left_turn",
    "observed_side_impact",
    "light_stop",
    "yield_to_pedestrian",
    "clear_crossing",
    "speed_bumps",
}
WITH_JUNCTION = {"red_light", "left_turn", "observed_side_impact", "light_stop", "clear_crossing"}

KNOBS: dict[HazardFamily, tuple[tuple[str, float], ...]] = {
    "rear_end": (("reaction_s", 0.1), ("headway_s", 2.6)),
    "cut_in": (("brake_share", 0.0), ("reaction_s", 0.1), ("gap_m", 24.0)),
    "red_light": (("offset_s", -2.0), ("offset_s", 2.0), ("reaction_s", 0.1)),
    "dart_out": (("reaction_s", 0.1), ("offset_s", -3.0), ("offset_s", 3.0)),
    "left_turn": (("offset_s", -2.0), ("reaction_s", 0.1), ("offset_s", 2.0)),
    "observed_side_impact": (("offset_s", -2.0), ("offset_s", 2.0)),
    "observed_rear_end": (("other_reaction_s", 0.1), ("headway_s", 2.4)),
    "head_on": (("depth", 0.25), ("offset_s", -2.0)),
    "loss_of_control": (("kick", 0.0), ("reaction_s", 0.1)),
}
"""The responsible parameter and the value that surely avoids the crash, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera sits in the ego vehicle and how its picture is made."""

    x_m: float
    y_m: float
    height_m: float
    yaw_deg: float
    pitch_deg: float
    fov_deg: float
    bonnet: float
    """Height of the visible bonnet as a share of the picture; 0 for none."""
    bonnet_colour: str
    gain: float
    white_balance: tuple[float, float, float]
    noise: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a crash and its near-miss twin share beyond the scenario."""

    weather: Weather
    light: Light
    scene: Scene
    friction: float
    lanes: int
    """Lanes in each direction."""
    camera: Camera
    left_hand: bool
    look_seed: int
    clip_frames: int
    event_fraction: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One sampled scenario. A near-miss twin differs from its crash in exactly one field."""

    family: Family
    seed: int
    around: Surroundings
    variant: str
    conflict_s: float
    """When the ego vehicle would reach the place of conflict undisturbed (seconds from the start)."""
    speed_mps: float
    ego_lane: int
    side: int
    """1: the danger comes from the right, -1: from the left."""
    kinds: tuple[Kind, Kind]
    colours: tuple[str, str]
    walker: Kind
    reaction_s: float
    other_reaction_s: float
    headway_s: float
    gap_m: float
    offset_s: float
    brake_share: float
    """How hard the other vehicle brakes, as a share of what the road allows."""
    other_speed_mps: float
    depth: float
    """How far an oncoming vehicle comes over, in lanes."""
    kick: float
    """How violently grip is lost: 0 not at all, 1 fully."""
    spare: tuple[float, ...]
    """Six more uniform numbers for what no twin changes."""

    @property
    def is_hazard(self) -> bool:
        """True where the scenario is meant to be a crash or a near miss."""
        return self.family in HAZARD_FAMILIES


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that is a pure function of its parts."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def sample_surroundings(config: SimulateConfig, family: Family, seed: int) -> Surroundings:
    """Draw weather, light, road, camera, clip length and place of the event."""
    rng = np.random.default_rng(derive_seed(seed, "surroundings"))
    weather = _WEATHERS[int(rng.choice(4, p=[0.5, 0.25, 0.12, 0.13]))]
    light: Light = "night" if rng.random() < 0.25 else "day"
    scenes: tuple[Scene, ...] = ("urban", "rural", "highway")
    scene = scenes[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    if family in _NO_HIGHWAY and scene == "highway":
        scene = "urban"
    lanes = int(rng.integers(1, 3))
    if scene == "highway" or family in ("cut_in", "close_overtake", "lane_change"):
        lanes = 2
    frames = int(rng.integers(round(config.min_clip_s * config.fps), round(config.max_clip_s * config.fps) + 1))
    low, high = config.event_fraction
    margin = 0.6 / frames
    camera = Camera(
        x_m=float(rng.uniform(-0.2, 0.2)),
        y_m=float(rng.uniform(0.2, 0.7)),
        height_m=float(rng.uniform(1.15, 1.45)),
        yaw_deg=float(rng.uniform(-3, 3)),
        pitch_deg=float(rng.uniform(-4, 1)),
        fov_deg=float(rng.uniform(58, 80)),
        bonnet=float(rng.uniform(0.02, 0.14)) if rng.random() < 0.7 else 0.0,
        bonnet_colour=_pick(rng, tuple(COLOURS)),
        gain=float(rng.uniform(0.88, 1.12)),
        white_balance=(float(rng.uniform(0.95, 1.05)), float(rng.uniform(0.97, 1.03)), float(rng.uniform(0.95, 1.05))),
        noise=float(rng.uniform(0.006, 0.022)) * (1.7 if light == "night" else 1.0),
    )
    return Surroundings(
        weather=weather,
        light=light,
        scene=scene,
        friction=FRICTION[weather] * float(rng.uniform(0.92, 1.05)),
        lanes=lanes,
        camera=camera,
        left_hand=bool(rng.random() < config.left_hand_share),
        look_seed=derive_seed(seed, "look"),
        clip_frames=frames,
        event_fraction=float(rng.uniform(low + margin, high - margin)),
    )


_VARIANTS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "head_on": (("drift", "overtake"), (0.6, 0.4)),
    "loss_of_control": (("ahead", "ahead_parked", "oncoming", "ego"), (0.3, 0.2, 0.3, 0.2)),
    "dart_out": (("crosses", "freezes"), (0.7, 0.3)),
    "observed_rear_end": (("same_lane", "next_lane"), (0.7, 0.3)),
    "cruise": (("follow", "free"), (0.6, 0.4)),
    "clear_crossing": (("passes_before", "waits"), (0.5, 0.5)),
    "lane_change": (("ego", "other"), (0.5, 0.5)),
    "close_overtake": (("overtaken", "passes_parked", "passes_slow"), (0.45, 0.25, 0.3)),
}
_LEAD_S: dict[str, float] = {"loss_of_control": 3.2, "head_on": 5.2, "left_turn": 4.5, "speed_bumps": 2.5}


def sample_scenario(family: Family, around: Surroundings, config: SimulateConfig, seed: int) -> Scenario:
    """Draw one scenario; whether it ends as its family says is found out by simulating it."""
    rng = np.random.default_rng(seed)
    names, shares = _VARIANTS.get(family, (("only",), (1.0,)))
    variant = names[int(rng.choice(len(names), p=shares))]
    event_at_s = around.event_fraction * around.clip_frames / config.fps
    conflict_s = max(event_at_s + 0.9, _LEAD_S.get(family, 3.4)) + float(rng.uniform(0, 0.3))
    speed = float(rng.uniform(15, 22) if around.scene == "highway" else rng.uniform(8, 14.5))
    if around.weather == "snowy":
        speed *= 0.75
    if family == "speed_bumps":
        speed = float(rng.uniform(5.5, 9.5))
    elif family == "observed_side_impact":
        speed = min(speed, float(rng.uniform(7, 11)))
    elif family == "observed_rear_end":
        speed = min(speed, float(rng.uniform(8, 13)))
    late = bool(rng.random() < 0.3)
    colours = tuple(COLOURS) if around.light == "day" else NIGHT_COLOURS
    first = _pick(rng, colours)
    second = _pick(rng, tuple(name for name in colours if name != first))
    return Scenario(
        family=family,
        seed=seed,
        around=around,
        variant=variant,
        conflict_s=conflict_s,
        speed_mps=speed,
        ego_lane=_ego_lane(family, variant, around.lanes, rng),
        side=1 if rng.random() < 0.5 else -1,
        kinds=(_pick_kind(rng), _pick_kind(rng)),
        colours=(first, second),
        walker="pedestrian" if rng.random() < 0.7 else "cyclist",
        reaction_s=float(rng.uniform(2.5, 4.0) if late else rng.uniform(0.4, 2.4)),
        other_reaction_s=float(rng.uniform(0.7, 2.6)),
        headway_s=float(rng.uniform(0.55, 1.45)),
        gap_m=float(rng.uniform(5.5, 14.5)),
        offset_s=float(rng.uniform(-1.0, 1.0)),
        brake_share=float(rng.uniform(0.5, 0.95)),
        other_speed_mps=float(rng.uniform(10, 15) if variant == "overtake" else rng.uniform(7, 14)),
        depth=float(rng.uniform(0.6, 1.05)),
        kick=float(rng.uniform(0.6, 1.0)),
        spare=tuple(float(value) for value in rng.uniform(0, 1, 6)),
    )


def _ego_lane(family: Family, variant: str, lanes: int, rng: np.random.Generator) -> int:
    lane = int(rng.integers(0, lanes))
    if family == "head_on" or variant == "oncoming":
        return 0
    if family == "loss_of_control" and variant in ("ego", "ahead_parked"):
        return lanes - 1
    if variant == "passes_parked":
        return lanes - 1
    return lane


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _pick_kind(rng: np.random.Generator) -> Kind:
    return VEHICLE_KINDS[int(rng.choice(len(VEHICLE_KINDS), p=VEHICLE_SHARES))]
