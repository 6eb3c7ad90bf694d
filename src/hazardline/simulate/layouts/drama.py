"""A small copy of DRAMA from simulated images: `integrated_output_v2.json` and `combined/titan/clip_1_000001/...`.

Risk, agent and suggestion are what the rules of HazardNet's line see in an image (`synthesize.hazard_rules`), in
DRAMA's words; keeping on is `Follow the vehicle ahead`. All images of a scene are clips of one drive. Of DRAMA's 37
columns those are written whose names and values are publicly documented; that of the clip names its film, which is not
there.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hazardline import image_file
from hazardline.errors import UserError
from hazardline.files import write_json
from hazardline.native import NativeClip, StillObject, StillTruth
from hazardline.simulate.layouts.native_clips import read_clips, video_of
from hazardline.synthesize.deterministic_images import SCENE_CLASSES
from hazardline.synthesize.hazard_rules import Hazard, assess

FILE_NAME = "integrated_output_v2.json"
NOT_APPLICABLE = "N/A"
SUGGESTIONS: Mapping[str, str] = {
    "Must Stop": "(must) Stop",
    "Carefully Slow Down": "Slow down",
    "Yield": "Yield",
    "Keep Moving": "Follow the vehicle ahead",
}
_ADDRESS = "https://s3-us-west-2.amazonaws.com/hrius.scaleapi/data/drama/"
_PLACES = {"ahead": "in front of us", "left": "on the left side", "right": "on the right side"}
_ABSENT = (
    *("Intention of Ego-vehicle", "vehicle_reason_for_behaviour", "other_vehicle_reason_for_behaviour"),
    *("other_vehicle_motion_direction", "infrastructure_name", "other_infrastructure_name"),
    *("infrastructure_location", "other_infrastructure_location", "infrastructure_state"),
    "other_infrastructure_state",
)
_EMPTY = ("Attributes of pedestrian", "vehicle_motion_direction")


def write(clips: Path, out: Path) -> None:
    """Lay out all images of a native folder; `out` exists and is empty.

    Raises:
        UserError: a clip is no simulated image.
    """
    rows = []
    for image, row in annotated_images(clips):
        target = out / row["s3_fileUrl"].removeprefix(_ADDRESS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video_of(clips, image), target)
        rows.append(row)
    write_json(out / FILE_NAME, rows)


def annotated_images(clips: Path) -> Iterator[tuple[NativeClip, dict[str, Any]]]:
    """Each image with its row.

    Raises:
        UserError: as `write`.
    """
    drives: dict[str, int] = {}
    for number, clip in enumerate(read_clips(clips), 1):
        path = video_of(clips, clip)
        if clip.still is None or not image_file.is_image(path):
            raise UserError(f"{clips}: clip {clip.clip_id} is no simulated image; make some (simulate.media: image)")
        drive = drives.setdefault(clip.recording_id or clip.pair_id or clip.clip_id, len(drives) + 1)
        folder = f"{_ADDRESS}combined/titan/clip_{drive}_{number:06}"
        info = image_file.probe(path)
        yield (
            clip,
            {
                "s3_fileUrl": f"{folder}/frame_{number:06}{path.suffix.lower()}",
                "s3_instructionReference": f"{folder}/movie.gif",
                **_annotation(clip.still, info.width_px, info.height_px),
            },
        )


def _annotation(truth: StillTruth, width_px: int, height_px: int) -> dict[str, Any]:
    hazard = assess(truth)
    return {
        "Risk": "No" if hazard is None else "Yes",
        "Suggestions (to the ego car)": NOT_APPLICABLE if hazard is None else SUGGESTIONS[hazard.action],
        "Caption": NOT_APPLICABLE if hazard is None else _caption(hazard),
        "Scene Classifier": SCENE_CLASSES.get(truth.road, NOT_APPLICABLE),
        "geometry": [] if hazard is None else _corners(hazard, width_px, height_px),
        "Agent-classifier": NOT_APPLICABLE if hazard is None else hazard.agent,
        **dict.fromkeys(_ABSENT, NOT_APPLICABLE),
        **{column: [] for column in _EMPTY},
    }


def _caption(hazard: Hazard) -> str:
    if not isinstance(hazard.source, StillObject):
        return f"There is a {hazard.source} in front of us that influences the ego car."
    item = hazard.source
    return f"There is a {item.colour} {item.kind} {_PLACES[item.side]} that influences the ego car."


def _corners(hazard: Hazard, width_px: int, height_px: int) -> list[list[int]]:
    """The corners of the box clockwise from the top left, in pixels; none for what has no box."""
    if not isinstance(hazard.source, StillObject):
        return []
    left, top, right, bottom = hazard.source.box
    x, y = (round(left * width_px), round(right * width_px)), (round(top * height_px), round(bottom * height_px))
    return [[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]]]
