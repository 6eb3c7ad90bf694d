"""Simulated images: the same bytes for the same seed, and a truth that agrees with what is in the picture."""

from pathlib import Path

import numpy as np
import pytest

from hazardline.image_file import probe
from hazardline.native import MANIFEST_NAME, NativeClip, StillTruth
from hazardline.progress import SilentReporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.stage import run
from tests.simulate.conftest import read

CONFIG = SimulateConfig(
    media="image", num_pairs=5, num_normal=8, images_per_scene=2, width_px=144, height_px=96, seed=3
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stills")
    run(CONFIG, {}, out, SilentReporter())
    return out


@pytest.fixture(scope="module")
def images(folder: Path) -> list[NativeClip]:
    return read(folder)


def truth(image: NativeClip) -> StillTruth:
    assert image.still is not None
    return image.still


def test_every_scene_gives_its_images_under_one_pair_id(images: list[NativeClip], folder: Path) -> None:
    assert len(images) == 2 * (2 * CONFIG.num_pairs + CONFIG.num_normal)
    assert len({image.pair_id for image in images}) == CONFIG.num_pairs + CONFIG.num_normal
    assert {image.label for image in images} == {"near_miss", "normal"}
    assert sorted(path.name for path in (folder / "images").iterdir()) == sorted(f"{i.clip_id}.png" for i in images)
    infos = [probe(folder / image.video) for image in images]
    assert {(info.codec, info.width_px, info.height_px) for info in infos} == {("png", 144, 96)}


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(folder: Path, tmp_path: Path) -> None:
    fewer = CONFIG.model_copy(update={"num_pairs": 1, "num_normal": 1, "num_workers": 1})
    run(fewer, {}, tmp_path, SilentReporter())
    lines = (folder / MANIFEST_NAME).read_text().splitlines()
    again = (tmp_path / MANIFEST_NAME).read_text().splitlines()
    assert len(again) == 6 and set(again) <= set(lines)
    for path in (tmp_path / "images").iterdir():
        assert path.read_bytes() == (folder / "images" / path.name).read_bytes()


def test_twins_do_not_give_the_same_picture_twice(folder: Path) -> None:
    pictures = [path.read_bytes() for path in (folder / "images").iterdir()]
    assert len(set(pictures)) == len(pictures)


def test_objects_are_where_the_truth_says(images: list[NativeClip]) -> None:
    """What is far to the right of the ego vehicle is right in the picture; the nearest comes first."""
    beside = [
        (item.right_m / item.ahead_m, (item.box[0] + item.box[2]) / 2 - 0.5)
        for image in images
        for item in truth(image).objects
        if item.ahead_m > 5 and abs(item.right_m) > 0.2 * item.ahead_m
    ]
    assert len(beside) > 10
    assert np.mean([(angle > 0) == (place > 0) for angle, place in beside]) > 0.95
    for image in images:
        ranges = [item.ahead_m**2 + item.right_m**2 for item in truth(image).objects]
        assert ranges == sorted(ranges)
        assert all(0 <= item.box[0] < item.box[2] <= 1 for item in truth(image).objects)


def test_signals_and_intersections_belong_to_their_families(images: list[NativeClip]) -> None:
    by_family = {image.scenario: truth(image) for image in images}
    assert all(found.signal == "red" for name, found in by_family.items() if name == "light_stop" and found.stop_line_m)
    for image in images:
        found = truth(image)
        assert (found.road == "intersection") == (found.stop_line_m is not None)
        assert found.signal is None or found.stop_line_m is not None
        assert image.scenario == "speed_bumps" or found.bump_m is None
