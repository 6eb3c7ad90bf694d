"""Position ids of a prefix without torch, for a vehicle's computer; a test holds them against transformers' own."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hazardline.vlm.layout import Layout

Ints = npt.NDArray[np.int64]


def position_axes(layout: Layout) -> int:
    """Position ids a token has: one, or three in time, height and width."""
    return 3 if layout.positions == "mrope" else 1


def prefix_positions(ids: Sequence[int], vision_id: int, layout: Layout) -> Ints:
    """Position ids of a prefix, (position axes, tokens). Text behind it goes on at their maximum plus one.

    Text is counted one by one, alike on all axes. Under M-RoPE the tokens of an image have its place in time, and row
    and column within it, from there on; the text after it begins behind the largest of them (arXiv 2409.12191, section
    2.1).

    Args:
        ids: of the prefix.
        vision_id: the placeholder among them.
        layout: how positions are counted, and the size of an image.

    Raises:
        ValueError: M-RoPE, and the placeholders are not those of one image.
    """
    if layout.positions == "counted":
        return np.arange(len(ids), dtype=np.int64)[None]
    are_vision = np.asarray(ids) == vision_id
    rows, columns = (side // layout.merge for side in layout.grid)
    start = int(are_vision.argmax())
    end = start + rows * columns
    if not are_vision[start:end].all() or are_vision.sum() != rows * columns:
        raise ValueError(f"{are_vision.sum()} placeholders; an image of this layout is {rows} x {columns} in one piece")
    before = np.arange(start)
    row, column = (start + place.ravel() for place in np.indices((rows, columns)))
    after = start + max(rows, columns) + np.arange(len(ids) - end)
    axes = [np.full(rows * columns, start), row, column]
    return np.stack([np.concatenate([before, axis, after]) for axis in axes]).astype(np.int64)
