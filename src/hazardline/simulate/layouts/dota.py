"""A small DoTA from simulated clips: `frames/<clip>/images/000000.jpg`, metadata of two splits, per-frame annotations.

DoTA holds anomalies only: crashes are written, near misses and normal driving are not. Every fourth crash goes to the
validation file. What DoTA does not say is lost: texts, weather, the first sign of the hazard.
"""

from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import write_json
from hazardline.native import NativeClip
from hazardline.simulate.layouts.native_clips import read_clips, recording_of, video_of, write_frames

FPS = 10
_CLASSES = {
    "rear_end": "moving_ahead_or_waiting",
    "observed_rear_end": "moving_ahead_or_waiting",
    "cut_in": "lateral",
    "red_light": "turning",
    "left_turn": "turning",
    "observed_side_impact": "turning",
    "dart_out": "pedestrian",
    "head_on": "oncoming",
    "loss_of_control": "leave_to_right",
}
_CATEGORIES = {
    "car": "car",
    "suv": "car",
    "van": "car",
    "truck": "truck",
    "pedestrian": "person",
    "cyclist": "bicycle",
}


def write(clips: Path, out: Path) -> None:
    """Lay out the crashes of a native folder; `out` exists and is empty.

    Raises:
        UserError: there is none, or one has no end.
    """
    files: dict[str, dict[str, Any]] = {"train": {}, "val": {}}
    crashes = (clip for clip in read_clips(clips) if clip.label == "crash")
    index = -1
    for index, clip in enumerate(crashes):
        subset = "val" if index % 4 == 3 else "train"
        name, entry = _write_clip(clips, clip, out, subset)
        files[subset][name] = entry
    if index < 0:
        raise UserError(f"{clips}: no crash among the clips; DoTA holds nothing else")
    for subset, entries in files.items():
        if entries:
            write_json(out / f"metadata_{subset}.json", entries)


def clip_name(clip: NativeClip) -> str:
    """Recording and the number of the clip's first frame in it."""
    return f"{recording_of(clip)}_{_first(clip):06}"


def _first(clip: NativeClip) -> int:
    """A number below a thousand that is always the same for a clip: where it would begin in its recording."""
    return sum(clip.clip_id.encode()) % 1000


def _write_clip(root: Path, clip: NativeClip, out: Path, subset: str) -> tuple[str, dict[str, Any]]:
    name = clip_name(clip)
    times = clip.times
    if times.crash_start_s is None or times.crash_end_s is None:
        raise UserError(f"{root}: clip {clip.clip_id}: the layout needs crash_start_s and crash_end_s")
    num_frames = write_frames(video_of(root, clip), FPS, f"{out}/frames/{name}/images/{{:06}}.jpg", first=0)
    start = round(times.crash_start_s * FPS)
    who = "ego" if clip.ego_involved else "other"
    entry = {
        "video_start": _first(clip),
        "video_end": _first(clip) + num_frames - 1,
        "anomaly_start": start,
        "anomaly_end": min(max(start + 1, round(times.crash_end_s * FPS)), num_frames),
        "anomaly_class": f"{who}: {_CLASSES.get(clip.scenario, 'unknown')}",
        "num_frames": num_frames,
        "subset": subset,
    }
    labels = _labels(name, clip, num_frames)
    if labels:
        night = {} if clip.light == "unknown" else {"night": clip.light == "night"}
        annotation = {"video_name": name, **entry, "ego_involve": who == "ego", **night, "labels": labels}
        write_json(out / "annotations" / f"{name}.json", annotation)
    return name, entry


def _labels(name: str, clip: NativeClip, num_frames: int) -> list[dict[str, Any]]:
    """Per frame the road users in the picture, as far as the clip's own truth goes; boxes in pixels."""
    truth = clip.ground_truth
    if truth is None or truth.fps != FPS:
        return []
    objects: list[list[dict[str, Any]]] = [[] for _ in range(num_frames)]
    for number, agent in enumerate(truth.agents):
        for frame, box in zip(agent.frames, agent.boxes, strict=True):
            if frame < num_frames:
                sides = (truth.width_px, truth.height_px, truth.width_px, truth.height_px)
                pixels = [share * side for share, side in zip(box, sides, strict=True)]
                objects[frame].append(
                    {
                        "obj_track_id": number,
                        "bbox": [round(value, 1) for value in pixels],
                        "category": _CATEGORIES[agent.kind],
                        "trunc": False,
                    }
                )
    return [
        {"frame_id": frame, "image_path": f"frames/{name}/images/{frame:06}.jpg", "objects": found}
        for frame, found in enumerate(objects)
    ]
