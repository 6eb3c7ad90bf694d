"""Near duplicates by kind, on files: a smaller version of benchmarks/neighbours.py."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.planted.copies import KINDS, SINGLE_KINDS, Clip, read_clip
from benchmarks.planted.measure import Base, five_hashes, ours, plant_all, score
from hazardline.split.config import SplitConfig

LIMIT = SplitConfig().near_duplicate_distance
MEDIA = os.environ.get("HAZARDLINE_TEST_MEDIA")


def _drive(seed: int) -> Clip:
    """5 s of a made-up road: hills at random that come nearer, and three blocks that cross."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (9, 14, 3), np.uint8)
    far = np.asarray(Image.fromarray(coarse).resize((336, 216), Image.Resampling.BICUBIC))
    places, speeds = rng.uniform(0, 100, (3, 2)), rng.uniform(-3, 3, (3, 2))
    colours = rng.integers(0, 256, (3, 3), np.uint8)
    pictures = []
    for k in range(50):
        inset = 0.8 * k
        box = (inset, inset * 0.66, 336 - inset, 216 - inset * 0.66)
        picture = np.asarray(Image.fromarray(far).resize((144, 96), Image.Resampling.BILINEAR, box)).copy()
        for place, speed, colour in zip(places, speeds, colours, strict=True):
            x, y = (place + k * speed).astype(int) % (120, 72)
            picture[y : y + 24, x : x + 24] = colour
        pictures.append(picture)
    return Clip(np.stack(pictures), 10)


@pytest.fixture(scope="module")
def bases() -> list[Base]:
    def reader(seed: int) -> Callable[[], Clip]:
        return partial(_drive, seed)

    return [Base(f"drive-{k}", f"drive-{k}", reader(k)) for k in range(8)]


def test_planted_copies_are_found_by_kind_and_nothing_else(tmp_path: Path, bases: list[Base]) -> None:
    clips = plant_all(bases, tmp_path)
    for kind in KINDS:
        members = [clip for clip in clips if clip.kind in ("base", kind)]
        found = score(members, ours(members, tmp_path, LIMIT))
        assert found["recall"] >= (0.95 if kind in SINGLE_KINDS else 0.85), kind
        assert found["precision"] == 1.0, kind
    together = score(clips, ours(clips, tmp_path, LIMIT))
    assert together["recall"] >= 0.98 and together["false"] == 0
    before = [clip for clip in clips if clip.kind in ("base", "mirrored", "trimmed_start")]
    assert score(before, five_hashes(before))["recall"] < 0.5, "the peer of the benchmark is what it is said to be"


@pytest.mark.skipif(MEDIA is None, reason="HAZARDLINE_TEST_MEDIA names no folder of real videos")
def test_planted_copies_of_real_clips_are_found(tmp_path: Path) -> None:
    assert MEDIA is not None
    pieces = [("vtest.avi", 10.0), ("vtest.avi", 40.0), ("intel_car-detection.mp4", 20.0), ("solidWhiteRight.mp4", 2.0)]
    real = [
        Base(f"{name}-{start_s}", name, partial(read_clip, Path(MEDIA) / name, start_s, 4.0, 240))
        for name, start_s in pieces
    ]
    clips = plant_all(real, tmp_path)
    found = score(clips, ours(clips, tmp_path, LIMIT))
    assert found["recall"] >= 0.95 and found["false"] == 0
