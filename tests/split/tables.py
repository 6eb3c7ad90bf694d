"""Synthetic rows of the ingest stage's tables."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hazardline.ingest.fingerprints import NUM_WORDS


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
    """Rows of the table of fingerprints: random ones, different for every id, but for the known."""
    rows = []
    for row in sorted(scenes, key=lambda row: str(row["clip_id"])):
        clip_id = row["clip_id"]
        found = (known or {}).get(clip_id)
        found = frames(zlib.crc32(clip_id.encode())) if found is None else found
        rows.append({"clip_id": clip_id, "frames": found.astype("<u8").tobytes()})
    return rows


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
