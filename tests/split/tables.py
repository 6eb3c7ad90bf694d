"""Synthetic rows of the ingest stage's tables."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hazardline.ingest.fingerprints import NUM_WORDS
from hazardline.split.assign import SPLITS, Assignment, assign, of_clips
from hazardline.split.columns import Clips
from hazardline.split.config import SplitConfig
from hazardline.split.groups import Neighbours, group
from hazardline.split.guard import check_assignment
from hazardline.split.published import Published, torn_on_purpose
from hazardline.tables import ASSIGNMENT


def scene(clip_id: str, label: str = "normal", **more: Any) -> dict[str, Any]:
    """A row of the scenes table."""
    digest = hashlib.sha256(clip_id.encode()).hexdigest()
    row: dict[str, Any] = {
        "clip_id": clip_id,
        "video_uri": f"/data/{clip_id}.mp4",
        "sha256": digest,
        "size_bytes": 40_000,
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
        "width_px": 144,
        "height_px": 96,
        "codec": "h264",
        "pre_crash_start_s": None,
        "crash_start_s": 2.0 if label == "crash" else None,
        "crash_end_s": None,
        "event_s": None,
        "accident_type": None,
        "ego_involved": None,
        "description": None,
        "cause": None,
        "prevention": None,
        "still": None,
    }
    return {**row, **more}


def frames(seed: int, num_rows: int = 20) -> np.ndarray:
    """A fingerprint (rows, 8) of random pictures with random motion."""
    return np.random.default_rng(seed).integers(1, 1 << 64, (num_rows, NUM_WORDS), np.uint64)


def with_flips(rows: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """A fingerprint in which so many of the bits differ."""
    flips = np.random.default_rng(seed).random((*rows.shape, 64)) < share
    return rows ^ np.packbits(flips, axis=2, bitorder="little").view("<u8")[..., 0]


def fingerprints(
    scenes: Sequence[dict[str, Any]], known: Mapping[str, np.ndarray] | None = None
) -> list[dict[str, Any]]:
    """Rows of the table of fingerprints in the order of the scenes: random ones, but for the known."""
    found = {row["clip_id"]: frames(zlib.crc32(row["clip_id"].encode())) for row in scenes} | dict(known or {})
    return [{"clip_id": row["clip_id"], "frames": found[row["clip_id"]].astype("<u8").tobytes()} for row in scenes]


def simulated(num_pairs: int, num_normal: int, seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Scenes and features of an honest data set: what is cheap to see says nothing about the label."""
    rng = np.random.default_rng(seed)
    scenes = []
    for k in range(num_pairs):
        scenario = ("rear_end", "cut_in", "red_light", "dart_out")[k % 4]
        length = {"duration_s": float(rng.uniform(6, 10)), "size_bytes": int(rng.integers(30_000, 60_000))}
        for label in ("crash", "near_miss"):
            scenes.append(scene(f"{label}-{k:04}", label, pair_id=f"p{k}", scenario=scenario, **length))
    for k in range(num_normal):
        length = {"duration_s": float(rng.uniform(6, 10)), "size_bytes": int(rng.integers(30_000, 60_000))}
        scenes.append(scene(f"normal-{k:04}", "normal", scenario=("cruise", "light_stop")[k % 2], **length))
    features = [
        {
            "clip_id": row["clip_id"],
            "first_colour": rng.uniform(0, 1, 14).tolist(),
            "clip_colour": rng.uniform(0, 1, 14).tolist(),
            "motion_energy": rng.uniform(0, 1, 4).tolist(),
        }
        for row in scenes
    ]
    return scenes, features


def grouped(scenes: list[dict[str, Any]], neighbours: Sequence[Neighbours] = (), **more: Any) -> dict[str, str]:
    """Clip id -> name of its group."""
    clips = Clips.of_rows(scenes)
    groups = group(clips, neighbours, **more)
    ids = clips.ids.to_pylist()
    return {clip_id: ids[groups.first[number]] for clip_id, number in zip(ids, groups.of_clip, strict=True)}


def assigned(
    scenes: list[dict[str, Any]], config: SplitConfig, neighbours: Sequence[Neighbours] = ()
) -> dict[str, str]:
    """Clip id -> its split, checked by the guard."""
    clips = Clips.of_rows(scenes)
    groups = group(clips, neighbours, config.group_by)
    published = Published.of(clips, groups) if config.use_published else None
    splits = of_clips(assign(clips, groups, config, published), groups, config, published)
    torn = torn_on_purpose(groups, config, published)
    check_assignment(clips, Assignment(clips, groups, splits), neighbours, config.group_by, torn)
    return {clip_id: SPLITS[number] for clip_id, number in zip(clips.ids.to_pylist(), splits, strict=True)}


def assignment(rows: Sequence[Mapping[str, Any]]) -> list[pa.RecordBatch]:
    """Rows of the assignment table."""
    return [pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=ASSIGNMENT.schema)]
