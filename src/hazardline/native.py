"""The native layout: a folder with `manifest.jsonl` (one clip a line) and the videos it names.

The simulator writes it, and anyone can write it by hand for their own footage: only `clip_id`, `video` and `label` are
always needed, and `times` for a crash. All times are seconds from the first frame of the clip. `docs/native-layout.md`
is the page for users.
"""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline.documents import Document

MANIFEST_NAME = "manifest.jsonl"

Label = Literal["crash", "near_miss", "normal"]
Weather = Literal["sunny", "rainy", "snowy", "foggy", "unknown"]
Light = Literal["day", "night", "unknown"]
Scene = Literal["urban", "rural", "highway", "unknown"]
Seconds = float
"""Seconds; a whole number in the file is taken as one too, a text is not."""
Box = tuple[Seconds, Seconds, Seconds, Seconds]
"""Left, top, right, bottom as fractions of width and height, from the top left corner."""


class Times(Document):
    """When things happen, in seconds from the first frame. Order and range are checked by ingest, not here."""

    pre_crash_start_s: Seconds | None = None
    """When the hazard can first be seen (CrashChat's pre-crash point)."""
    crash_start_s: Seconds | None = None
    crash_end_s: Seconds | None = None
    event_s: Seconds | None = None
    """For a near miss: the moment of least time to collision."""


class AgentTrack(Document):
    """One road user of a simulated clip over the frames in which it exists, with its exact visible box."""

    name: str
    kind: Literal["car", "suv", "van", "truck", "pedestrian", "cyclist"]
    colour: str
    length_m: float
    width_m: float
    x_m: list[float]
    """World position of the centre for every frame of the clip (ego drives +y, x to the right)."""
    y_m: list[float]
    speed_mps: list[float]
    braking: list[bool]
    frames: list[int]
    """Frames in which at least 6 pixels of it are visible; `boxes` and `visible_px` have the same length."""
    boxes: list[Box]
    visible_px: list[int]


class GroundTruth(Document):
    """What the simulator knows exactly. Absent for footage."""

    generator: str
    seed: int
    fps: float
    num_frames: int
    width_px: int
    height_px: int
    agents: list[AgentTrack]
    """The ego vehicle is first, named `ego`; its `frames` are empty."""
    risk_agent: str | None = None
    involved: tuple[str, ...] = ()
    min_ttc_s: float | None = None
    delta_v_mps: float | None = None
    impulse_ns: float | None = None
    risk_box_at_event: Box | None = None


Heading = Literal["same", "oncoming", "from_left", "from_right", "still"]
"""Where a road user moves, as seen from the ego vehicle."""


RoadKind = Literal["narrow_lane", "intersection", "urban_road", "highway"]
"""`intersection` where one is within 45 m ahead of the ego vehicle; `narrow_lane`: one lane each way."""


LANE_HALF_M = 1.9
"""A road user whose centre is nearer to the ego vehicle's line than this is in its lane."""
NEAR_M = 15.0
"""A road user within this distance is called near in questions and answers, any other far."""


class StillObject(Document):
    """One road user in an image."""

    kind: Literal["car", "suv", "van", "truck", "pedestrian", "cyclist"]
    colour: str
    box: Box
    """Of what is visible."""
    ahead_m: float
    """From the ego vehicle's centre to its centre, along the road."""
    right_m: float
    """The same across the road, positive to the right."""
    speed_mps: float
    heading: Heading
    braking: bool

    @property
    def range_m(self) -> float:
        """Between the ego vehicle's centre and its centre."""
        return math.hypot(self.ahead_m, self.right_m)

    @property
    def side(self) -> Literal["ahead", "left", "right"]:
        """Where it stands against the ego vehicle's lane; `ahead` is in it."""
        if abs(self.right_m) < LANE_HALF_M:
            return "ahead"
        return "left" if self.right_m < 0 else "right"


class StillTruth(Document):
    """What is to be seen in an image, exactly. Present for simulated images."""

    road: RoadKind
    lanes: int
    """In each direction."""
    ego_speed_mps: float
    signal: Literal["red", "green"] | None = None
    """Colour of the ego vehicle's traffic light, where it is ahead."""
    stop_line_m: float | None = None
    """Distance of the intersection ahead."""
    crossing_m: float | None = None
    """Distance of a pedestrian crossing ahead."""
    bump_m: float | None = None
    """Distance of the next speed bump ahead."""
    objects: tuple[StillObject, ...]
    """Nearest first."""


class NativeClip(Document):
    """One line of `manifest.jsonl`."""

    clip_id: Annotated[str, Field(min_length=1, max_length=200)]
    video: str
    """Path of the video, or of an image (PNG or JPEG), below the folder of the manifest."""
    label: Label
    times: Times = Times()
    pair_id: str | None = None
    """A crash and its near-miss twin share it; a split never parts them."""
    recording_id: str | None = None
    """Clips cut from one recording share it; a split never parts them."""
    channel_id: str | None = None
    """Who filmed or uploaded it."""
    location: str | None = None
    """Where it was filmed: a city or a country."""
    published_split: Literal["train", "validation", "test"] | None = None
    """The split that the data set itself puts the clip into."""
    fps: Annotated[float, Field(gt=0, le=1000, strict=False)] | None = None
    """Where `video` is a folder of numbered frames: how many make a second."""
    source: str = "native"
    scenario: str = "unknown"
    weather: Weather = "unknown"
    light: Light = "unknown"
    scene: Scene = "unknown"
    accident_type: str | None = None
    ego_involved: bool | None = None
    agents: tuple[str, ...] = ()
    """Kinds of road users in the clip; a simulated clip's are in its ground truth."""
    description: str | None = None
    cause: str | None = None
    prevention: str | None = None
    ground_truth: GroundTruth | None = None
    still: StillTruth | None = None
    """Of an image: what HazardNet's questions are about. An image out of a hazard is labelled `near_miss`."""

    @model_validator(mode="after")
    def _crash_has_times(self) -> Self:
        if self.label == "crash" and self.times.crash_start_s is None:
            raise ValueError("a crash needs times.crash_start_s")
        return self
