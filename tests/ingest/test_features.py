from pathlib import Path

import numpy as np
import pytest

from hazardline.ingest.features import HEIGHT_PX, WIDTH_PX, Observer, hash_indices
from hazardline.ingest.inspection import Inspection, inspect
from tests.video_files import moving_pictures, write_clip


def _inspect(path: Path) -> Inspection:
    result = inspect(path)
    assert isinstance(result, Inspection)
    return result


def _bits(first: Inspection, second: Inspection) -> float:
    pairs = zip(first.perceptual_hashes, second.perceptual_hashes, strict=True)
    return sum((int(a, 16) ^ int(b, 16)).bit_count() for a, b in pairs) / 5


def test_frames_at_fixed_shares_are_hashed() -> None:
    assert hash_indices(40) == [4, 12, 20, 28, 36]
    assert hash_indices(1) == [0] * 5


def test_colour_and_motion_of_known_pictures() -> None:
    observer = Observer(3)
    for index, level in enumerate((0, 255, 255)):
        observer.see(index, np.full((HEIGHT_PX, WIDTH_PX, 3), level, np.uint8))
    features = observer.features()
    assert features.first_colour == [0.0] * 6 + [1.0] + [0.0] * 7
    assert features.clip_colour[:3] == pytest.approx([2 / 3] * 3, abs=1e-5)
    assert features.clip_colour[6:] == pytest.approx([1 / 3] + [0] * 6 + [2 / 3], abs=1e-5)
    assert features.motion_energy == pytest.approx([0.5, 0.5, 1.0, 0.0], abs=1e-5)


def test_a_still_of_one_frame_has_no_motion() -> None:
    observer = Observer(1)
    observer.see(0, np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8))
    assert observer.features().motion_energy == [0.0] * 4


def test_copies_stay_near_and_other_scenes_far(tmp_path: Path) -> None:
    pictures = moving_pictures(0, 30)
    first = _inspect(write_clip(tmp_path / "a.mp4", pictures))
    larger = _inspect(write_clip(tmp_path / "b.mp4", pictures.repeat(2, 1).repeat(2, 2), codec="mpeg4"))
    brighter = _inspect(write_clip(tmp_path / "c.mp4", np.clip(pictures * 1.1 + 5, 0, 255).astype(np.uint8)))
    other = _inspect(write_clip(tmp_path / "d.mp4", moving_pictures(1, 30)))
    assert max(_bits(first, larger), _bits(first, brighter)) <= 4
    assert _bits(first, other) > 20


def test_the_same_file_gives_the_same_numbers(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 30))
    assert inspect(path) == inspect(path)
