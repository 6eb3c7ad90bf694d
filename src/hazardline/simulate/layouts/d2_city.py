"""A small copy of D2-City from the simulated clips of normal driving: videos, and CVAT-like XML of all boxes.

D2-City knows no crash, so clips of other labels are left out. Videos stand in `videos/0000`, tracks in `labels/0000`;
the names are those that CrashChat gives to D2-City's clips (`d2city_1001_0011`), for D2-City's own are not
documented. `occluded` says that less than half of a box shows the road user, `cut` that the box ends at the border.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from hazardline.errors import UserError
from hazardline.native import AgentTrack, GroundTruth, NativeClip
from hazardline.simulate.layouts.native_clips import read_clips, video_of

LABELS: Mapping[str, str] = {
    "car": "car",
    "suv": "car",
    "van": "van",
    "truck": "truck",
    "pedestrian": "person",
    "cyclist": "bicycle",
}
"""D2-City's label of each kind of road user that the simulator makes."""
_ALL_LABELS = (
    *("car", "van", "bus", "truck", "person", "bicycle", "motorcycle", "open-tricycle", "closed-tricycle"),
    *("forklift", "large-block", "small-block"),
)
_FOLDER = "0000"


def write(clips: Path, out: Path) -> None:
    """Lay out the normal clips of a native folder; `out` exists and is empty.

    Raises:
        UserError: there is none.
    """
    count = 0
    for clip in read_clips(clips):
        if clip.label != "normal":
            continue
        name = f"d2city_1001_{count:04}"
        count += 1
        _lay(clips, clip, out / "videos" / _FOLDER / f"{name}.mp4", out / "labels" / _FOLDER / f"{name}.xml")
    if not count:
        raise UserError(f"{clips}: no clip is labelled normal, and D2-City has no others (simulate.num_normal: 1)")


def _lay(clips: Path, clip: NativeClip, video: Path, tracks: Path) -> None:
    video.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video_of(clips, clip), video)
    if clip.ground_truth is None:
        return
    tracks.parent.mkdir(parents=True, exist_ok=True)
    root = ElementTree.Element("annotations")
    meta = ElementTree.SubElement(root, "meta")
    truth = clip.ground_truth
    for name, value in (("frames", truth.num_frames), ("width", truth.width_px), ("height", truth.height_px)):
        ElementTree.SubElement(meta, name).text = str(value)
    ElementTree.SubElement(meta, "labels").text = ",".join(_ALL_LABELS)
    for number, agent in enumerate(agent for agent in truth.agents if agent.frames):
        _add_track(root, number, agent, truth)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(tracks, encoding="utf-8", xml_declaration=True)


def _add_track(root: ElementTree.Element, number: int, agent: AgentTrack, truth: GroundTruth) -> None:
    track = ElementTree.SubElement(root, "track", id=str(number), label=LABELS[agent.kind])
    for frame, box, visible_px in zip(agent.frames, agent.boxes, agent.visible_px, strict=True):
        left, top, right, bottom = box
        area_px = (right - left) * truth.width_px * (bottom - top) * truth.height_px
        ElementTree.SubElement(
            track,
            "box",
            frame=str(frame),
            xtl=f"{left * truth.width_px:.2f}",
            ytl=f"{top * truth.height_px:.2f}",
            xbr=f"{right * truth.width_px:.2f}",
            ybr=f"{bottom * truth.height_px:.2f}",
            occluded="yes" if visible_px < area_px / 2 else "no",
            cut="yes" if min(left, top) <= 0 or max(right, bottom) >= 1 else "no",
        )
