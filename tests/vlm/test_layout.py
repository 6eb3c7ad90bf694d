"""Frames, sizes and what a layout refuses."""

from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.vlm.layout import Layout


def test_sizes_follow_from_patches_and_merging() -> None:
    layout = Layout()
    assert layout.grid == (8, 12)
    assert layout.tokens_per_frame == 6
    assert layout.num_channels == 5 and layout.patch_size == 5 * 12 * 12
    assert Layout(channels="rgb").patch_size == 3 * 12 * 12


def test_frames_are_every_second_one_from_the_phase() -> None:
    layout = Layout()
    assert layout.sample(9) == [0, 2, 4, 6, 8]
    assert layout.sample(9, phase=1) == [1, 3, 5, 7]
    assert layout.times_s(layout.sample(9, phase=1)) == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert layout.sample(0) == [0]


def test_a_long_clip_is_sampled_over_its_whole_length() -> None:
    layout = Layout(max_frames=5)
    indices = layout.sample(101)
    assert len(indices) == 5 and indices[0] == 0 and indices[-1] == 100
    assert indices == sorted(set(indices))
    assert len(Layout(max_frames=50).sample(1000)) == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width_px": 150}, "multiples of patch_px x merge"),
        ({"height_px": 90}, "multiples of patch_px x merge"),
        ({"rate_hz": 3.0}, "rate_hz must divide motion_rate_hz"),
        ({"channels": "grey"}, "'rgb' or 'rgb_motion'"),
        ({"max_frames": 0}, "greater than 0"),
        ({"frames": 3}, "unknown key"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Layout.parse({**Layout().data(), **change}, "layout.json")
