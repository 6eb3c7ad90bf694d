"""The images or the video of one prompt, as an encoder takes them."""

from dataclasses import dataclass
from typing import Literal

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
