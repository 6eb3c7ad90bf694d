"""Scenes rows of images with their exact truth, for the tests of HazardNet's pairs."""

from typing import Any

from hazardline.files import canonical_json
from hazardline.native import StillObject, StillTruth
from tests.synthesize.scenes import scene


def thing(kind: str = "car", ahead_m: float = 20.0, right_m: float = 0.0, **changes: Any) -> StillObject:
    """A road user that drives our way, unless `changes` say otherwise."""
    values = {
        "kind": kind,
        "colour": "red",
        "box": (0.4, 0.4, 0.6, 0.6),
        "ahead_m": ahead_m,
        "right_m": right_m,
        "speed_mps": 8.0,
        "heading": "same",
        "braking": False,
    }
    return StillObject.model_validate(values | changes)


def truth(*objects: StillObject, road: str = "urban_road", **changes: Any) -> StillTruth:
    return StillTruth.model_validate({"road": road, "lanes": 2, "ego_speed_mps": 9.0, "objects": objects} | changes)


def image(clip_id: str, still: StillTruth | None, label: str = "normal", **changes: Any) -> dict[str, Any]:
    """The scenes row of an image."""
    row = scene(clip_id, label, duration_s=0.0, num_frames=1, codec="png", video_uri=f"/images/{clip_id}.png")
    return row | {"still": None if still is None else canonical_json(still.data()).decode()} | changes
