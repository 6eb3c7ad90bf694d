"""VideoLLaMA3 (CrashChat's base): frames with their times between, positions counted one by one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import VideoLlama3ForConditionalGeneration

from hazardline.vlm.media import Grid, Media


class VideoLlama3:
    """`hazardline.vlm.family.Family` of `VideoLlama3ForConditionalGeneration`."""

    model_class = VideoLlama3ForConditionalGeneration
    language_layers = r".*language_model\.layers\..*"
    vision = "model.vision_model"
    projector = "model.projector"
    first_projection = "readout.0"

    def positions(self, core: Any, ids: Sequence[int], grids: Sequence[Grid]) -> Tensor:
        """0, 1, 2 ...: (1, tokens)."""
        return torch.arange(len(ids))[None]

    def native_features(self, core: Any, media: Media) -> Tensor:
        """Merged tokens of the tower, (tokens, width)."""
        grids, merges = _shape(media, core.device)
        states: Tensor = core.model.vision_model(
            pixel_values=media.patches.to(core.device), grid_thw=grids, merge_sizes=merges
        ).last_hidden_state
        return states

    def native_inputs(self, core: Any, ids: Sequence[int], media: Media) -> dict[str, Any]:
        """As `VideoLlama3Processor` makes them."""
        grids, merges = _shape(media, core.device)
        pixels = "pixel_values" if media.kind == "image" else "pixel_values_videos"
        return {
            "input_ids": torch.tensor([list(ids)], device=core.device),
            pixels: media.patches.to(core.device),
            f"{media.kind}_grid_thw": grids,
            f"{media.kind}_merge_sizes": merges,
        }


def _shape(media: Media, device: torch.device) -> tuple[Tensor, Tensor]:
    merges = torch.full((len(media.grids),), media.merge, device=device)
    return torch.tensor(media.grids, device=device), merges
