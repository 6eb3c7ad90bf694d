"""The images or the video of one prompt, as an encoder takes them."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Grid = tuple[int, int, int]
"""Temporal, vertical and horizontal patches of an image or a video."""


@dataclass(frozen=True)
class Media:
    """Pixels, cut into patches.

    Attributes:
        patches: (patches, patch size) of all images or videos, one behind another.
        grids: one an image or video.
        merge: patches merged along each side.
        kind: images or videos.
    """

    patches: Tensor
    grids: tuple[Grid, ...]
    merge: int
    kind: Literal["image", "video"]


def window_positions(rows: int, columns: int, merge: int) -> Tensor:
    """Row and column of every patch in merge-window order: int64 (patches, 2)."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")

    def ordered(plane: Tensor) -> Tensor:
        return plane.view(rows // merge, merge, columns // merge, merge).permute(0, 2, 1, 3).reshape(-1)

    return torch.stack([ordered(row), ordered(column)], dim=-1)
