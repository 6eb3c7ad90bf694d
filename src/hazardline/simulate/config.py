"""What the simulate stage can be asked for."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hazardline.documents import Document

HazardFamily = Literal[
    "rear_end",
    "cut_in",
    "red_light",
    "dart_out",
    "left_turn",
    "observed_side_impact",
    "observed_rear_end",
    "head_on",
    "loss_of_control",
]
NormalFamily = Literal[
    "cruise",
    "light_stop",
    "yield_to_pedestrian",
    "clear_crossing",
    "emergency_stop",
    "speed_bumps",
    "lane_change",
    "close_overtake",
]
HAZARD_FAMILIES: tuple[HazardFamily, ...] = HazardFamily.__args__  # type: ignore[attr-defined]
NORMAL_FAMILIES: tuple[NormalFamily, ...] = NormalFamily.__args__  # type: ignore[attr-defined]


class SimulateConfig(Document):
    """Section `simulate` of a recipe."""

    num_pairs: Annotated[int, Field(ge=0)] = 120
    """Crash clips, each with its near-miss twin."""
    num_normal: Annotated[int, Field(ge=0)] = 60
    """Clips of ordinary (not always calm) driving."""
    seed: int = 0
    media: Literal["video", "image"] = "video"
    """`image`: still images of the same scenes (HazardNet), each with exact truth of what is in it."""
    images_per_scene: Annotated[int, Field(ge=1, le=16)] = 2
    """Images of each member of a pair and of each normal scene, spread over its clip."""
    num_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes. The clips do not depend on their number."""
    width_px: Annotated[int, Field(ge=32, le=1920, multiple_of=2)] = 144
    height_px: Annotated[int, Field(ge=32, le=1080, multiple_of=2)] = 96
    fps: Literal[5, 10, 15, 20, 30] = 10
    min_clip_s: Annotated[float, Field(ge=4.0, le=20.0)] = 6.0
    max_clip_s: Annotated[float, Field(ge=4.0, le=20.0)] = 10.0
    event_fraction: tuple[float, float] = (0.15, 0.92)
    """The event stands uniformly anywhere in this part of the clip."""
    left_hand_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.15
    """Share of scenes in left-hand traffic: the whole world mirrored."""
    write_crashes: bool = True
    """False: a pair writes its near-miss twin only (for a corpus without a crash clip)."""
    families: list[HazardFamily | NormalFamily] | None = None
    """Only these families; None means all of them."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 80
    """Samples of one scene before it is given up and reported as a failure."""

    @model_validator(mode="after")
    def _ranges_are_in_order(self) -> Self:
        if self.min_clip_s > self.max_clip_s:
            raise ValueError("min_clip_s must not be above max_clip_s")
        low, high = self.event_fraction
        if not 0.05 <= low < high <= 0.95:
            raise ValueError("event_fraction must be two rising numbers between 0.05 and 0.95")
        if self.num_pairs and not self.hazard_families():
            raise ValueError("num_pairs is above 0 but families names no hazard family")
        if self.num_normal and not self.normal_families():
            raise ValueError("num_normal is above 0 but families names no normal family")
        return self

    def hazard_families(self) -> tuple[HazardFamily, ...]:
        """Hazard families in use, in their fixed order."""
        return tuple(f for f in HAZARD_FAMILIES if self.families is None or f in self.families)

    def normal_families(self) -> tuple[NormalFamily, ...]:
        """Normal families in use, in their fixed order."""
        return tuple(f for f in NORMAL_FAMILIES if self.families is None or f in self.families)
