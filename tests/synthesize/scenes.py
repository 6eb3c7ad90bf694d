"""Scenes rows and tables for the tests of synthesize: no video is read there."""

from pathlib import Path
from typing import Any

from hazardline.tables import ASSIGNMENT, SCENES, write_table

SPLITS = ("train", "validation", "test")


def scene(clip_id: str, label: str = "crash", **changes: Any) -> dict[str, Any]:
    is_crash = label == "crash"
    row = {
        "clip_id": clip_id,
        "video_uri": f"/clips/{clip_id}.mp4",
        "sha256": clip_id.rjust(64, "0"),
        "size_bytes": 1000,
        "source": "native",
        "label": label,
        "pair_id": None,
        "recording_id": None,
        "channel_id": None,
        "location": None,
        "published_split": None,
        "agents": [],
        "classification": None,
        "scenario": "rear_end",
        "weather": "sunny",
        "light": "day",
        "scene": "urban",
        "duration_s": 8.0,
        "fps": 10.0,
        "num_frames": 80,
        "width_px": 160,
        "height_px": 96,
        "codec": "h264",
        "pre_crash_start_s": 2.04 if is_crash else None,
        "crash_start_s": 3.21 if is_crash else None,
        "crash_end_s": 4.86 if is_crash else None,
        "event_s": None,
        "accident_type": None,
        "ego_involved": None,
        "description": "ego-car hits a car." if is_crash else None,
        "cause": "The driver followed too closely." if is_crash else None,
        "prevention": "Keep a safe distance." if is_crash else None,
        "still": None,
    }
    return row | changes


def write_inputs(root: Path, scenes: list[dict[str, Any]]) -> dict[str, Path]:
    """Tables of the stages before; the clips are dealt out to the splits in turn."""
    inputs = {"ingest": root / "ingest", "split": root / "split"}
    rows = sorted(scenes, key=lambda row: row["clip_id"])
    write_table(SCENES, inputs["ingest"], rows)
    assignment = [
        {"clip_id": row["clip_id"], "group_id": row["clip_id"], "split": SPLITS[number % 3]}
        for number, row in enumerate(rows)
    ]
    write_table(ASSIGNMENT, inputs["split"], assignment)
    return inputs
