"""Positions without torch are those that transformers counts."""

import numpy as np
import pytest
import torch

from hazardline.pocket.architecture import TINY, build_qwen2_vl
from hazardline.pocket.settings import IMAGE_LAYOUT
from hazardline.vlm.family import family_of
from hazardline.vlm.layout import Layout
from hazardline.vlm.places import position_axes, prefix_positions
from tests.vlm.small import IDS, VOCAB_SIZE

IMAGE = IDS["image"]


def prefix(layout: Layout, num_before: int, num_after: int) -> list[int]:
    pads = [IMAGE] * layout.tokens_per_frame
    return [*range(20, 20 + num_before), IDS["vision_start"], *pads, IDS["vision_end"], *range(40, 40 + num_after)]


@pytest.mark.parametrize(
    ("width_px", "height_px", "num_before", "num_after"),
    [(96, 64, 3, 0), (64, 96, 1, 4), (32, 32, 0, 2), (288, 32, 5, 1)],
)
def test_an_image_has_the_positions_of_the_native_model(
    width_px: int, height_px: int, num_before: int, num_after: int
) -> None:
    layout = Layout.model_validate({**dict(IMAGE_LAYOUT), "width_px": width_px, "height_px": height_px})
    model = build_qwen2_vl(TINY, layout.patch_px, VOCAB_SIZE, IDS, seed=1)
    ids, question = prefix(layout, num_before, num_after), [50, 51, 52]
    native = family_of(model).positions(model, [*ids, *question], layout.grids(1))[:, 0].numpy()
    found = prefix_positions(ids, IMAGE, layout)
    assert found.dtype == np.int64 and len(found) == position_axes(layout) == family_of(model).position_axes
    np.testing.assert_array_equal(found, native[:, : len(ids)])
    np.testing.assert_array_equal(found.max() + 1 + np.arange(len(question)), native[0, len(ids) :])


def test_counted_positions_are_those_of_the_tokens() -> None:
    layout = Layout()
    np.testing.assert_array_equal(prefix_positions([5, 4, 4, 6], 4, layout), torch.arange(4)[None].numpy())
    assert position_axes(layout) == 1


@pytest.mark.parametrize("change", [-1, 1])
def test_placeholders_that_are_no_image_are_refused(change: int) -> None:
    ids = prefix(IMAGE_LAYOUT, 2, 2)
    broken = [*ids[:4], *ids[3:]] if change > 0 else [*ids[:4], *ids[5:]]
    with pytest.raises(ValueError, match="placeholders; an image of this layout is 6 x 9 in one piece"):
        prefix_positions(broken, IMAGE, IMAGE_LAYOUT)
    with pytest.raises(ValueError, match="in one piece"):
        prefix_positions([*ids[:6], 99, *ids[6:]], IMAGE, IMAGE_LAYOUT)
