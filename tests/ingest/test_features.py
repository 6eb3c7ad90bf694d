from pathlib import Path

import numpy as np
import pytest

from hazardline.ingest.features import HEIGHT_PX, WIDTH_PX, Observer
from hazardline.ingest.inspection import Inspection, inspect
from tests.video_files import moving_pictures, write_clip


def _inspect(path: Path) -> Inspection:
    result = inspect(path)
    assert isinstance(result, Inspection)
    return result


def test_colour_and_motion_of_known_pictures() -> None:
    observer = Observer()
    for level in (0, 255, 255):
        observer.see(np.full((HEIGHT_PX, WIDTH_PX, 3), level, np.uint8))
    features = observer.features()
    assert features.first_colour == [0.0] * 6 + [1.0] + [0.0] * 7
    assert features.clip_colour[:3] == pytest.approx([2 / 3] * 3, abs=1e-5)
    assert features.clip_colour[6:] == pytest.approx([1 / 3] + [0] * 6 + [2 / 3], abs=1e-5)
    assert features.motion_energy == pytest.approx([0.5, 0.5, 1.0, 0.0], abs=1e-5)


def test_a_still_of_one_frame_has_no_motion() -> None:
    observer = Observer()
    observer.see(np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8))
    assert observer.features().motion_energy == [0.0] * 4


def test_the_same_file_gives_the_same_numbers(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 30))
    assert inspect(path) == inspect(path)
