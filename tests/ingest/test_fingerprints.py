from pathlib import Path

import numpy as np
import pytest

from hazardline.ingest.fingerprints import (
    FINGERPRINTS,
    HEIGHT_PX,
    INNER,
    INNER_CHANGE,
    MIRROR,
    NUM_WORDS,
    WHOLE,
    WHOLE_CHANGE,
    WIDTH_PX,
    fingerprint,
    frames_of,
)
from hazardline.ingest.inspection import Inspection, inspect
from tests.video_files import moving_pictures, write_clip


def _luma(seed: int, num_frames: int = 40) -> np.ndarray:
    """A picture of random blocks that drifts, at 5 Hz."""
    return (
        moving_pictures(seed, 3 * num_frames, 4 * WIDTH_PX, 4 * HEIGHT_PX)[::3]
        .mean(3)
        .reshape(num_frames, HEIGHT_PX, 4, WIDTH_PX, 4)
        .mean((2, 4))
    )


def _share(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.bitwise_count(first ^ second).sum() / (64 * first.size))


def test_a_second_has_two_and_a_half_rows() -> None:
    assert [len(fingerprint(_luma(0, n))) for n in (1, 2, 3, 40)] == [1, 1, 2, 20]
    rows = fingerprint(_luma(0, 40))
    assert rows.shape == (20, NUM_WORDS) and rows.dtype == np.uint64
    assert (rows[:, WHOLE] != 0).all() and (rows[:17, WHOLE_CHANGE] != 0).all()
    assert (rows[-2:, [WHOLE_CHANGE, INNER_CHANGE]] == 0).all(), "nothing follows within a second"


def test_brightness_and_contrast_change_nothing() -> None:
    luma = _luma(0)
    rows, other = fingerprint(luma), fingerprint(0.7 * luma + 40)
    assert _share(rows[:, WHOLE], other[:, WHOLE]) < 0.001


def test_a_mirrored_clip_has_the_mirrored_hashes() -> None:
    rows, turned = fingerprint(_luma(0)), fingerprint(_luma(0)[:, :, ::-1])
    assert _share(rows[:, WHOLE] ^ MIRROR, turned[:, WHOLE]) < 0.001
    assert _share(rows[:17, WHOLE_CHANGE] ^ MIRROR[0], turned[:17, WHOLE_CHANGE]) < 0.001
    assert _share(rows[:, WHOLE], turned[:, WHOLE]) > 0.3


def test_the_inner_part_of_a_clip_is_the_whole_of_its_crop() -> None:
    pictures = moving_pictures(0, 40, 720, 480).mean(3)
    whole = pictures.reshape(40, HEIGHT_PX, 20, WIDTH_PX, 20).mean((2, 4))
    crop = pictures[:, 24:456, 36:684].reshape(40, HEIGHT_PX, 18, WIDTH_PX, 18).mean((2, 4))
    rows, cropped = fingerprint(whole), fingerprint(crop)
    assert 2 * _share(rows[:, INNER], cropped[:, WHOLE]) < _share(rows[:, WHOLE], cropped[:, WHOLE])


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_pictures_that_show_nothing_are_blank(noise: float) -> None:
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.arange(HEIGHT_PX), 2.0 * np.arange(WIDTH_PX))
    for picture in (np.zeros((HEIGHT_PX, WIDTH_PX)), np.full((HEIGHT_PX, WIDTH_PX), 180.0), slope):
        rows = fingerprint(picture + rng.normal(0, noise, (10, HEIGHT_PX, WIDTH_PX)))
        assert (rows == 0).all()


def test_a_picture_that_stands_still_has_no_motion() -> None:
    rows = fingerprint(np.repeat(_luma(0, 1), 20, 0))
    assert (rows[:, WHOLE] != 0).all() and (rows[:, [WHOLE_CHANGE, INNER_CHANGE]] == 0).all()


def test_files_of_one_scene_stay_near_and_others_far(tmp_path: Path) -> None:
    def rows(name: str, pictures: np.ndarray, codec: str = "libx264") -> np.ndarray:
        result = inspect(write_clip(tmp_path / name, pictures, codec=codec))
        assert isinstance(result, Inspection)
        return frames_of(result.fingerprint)

    pictures = moving_pictures(0, 30)
    first = rows("a.mp4", pictures)
    larger = rows("b.mp4", pictures.repeat(2, 1).repeat(2, 2), "mpeg4")
    brighter = rows("c.mp4", np.clip(pictures * 1.1 + 5, 0, 255).astype(np.uint8))
    other = rows("d.mp4", moving_pictures(1, 30))
    assert max(_share(first[:, WHOLE], copy[:, WHOLE]) for copy in (larger, brighter)) < 0.06
    assert _share(first[:, WHOLE], other[:, WHOLE]) > 0.3


def test_the_bytes_of_a_row_are_declared() -> None:
    assert FINGERPRINTS.schema.names == ["clip_id", "frames"]
    assert frames_of((1).to_bytes(8, "little") * NUM_WORDS).tolist() == [[1] * NUM_WORDS]
    with pytest.raises(ValueError, match="reshape"):
        frames_of(b"\0" * 8)
