"""VideoLLaMA3 (CrashChat's base): frames with their times between, positions counted one by one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import VideoLlama3ForConditionalGeneration
from transformers.models.video_llama_3.modeling_video_llama_3 import apply_rotary_pos_emb_vision

from hazardline.vlm.attention import attend
from hazardline.vlm.media import Grid, Media, window_positions


class VideoLlama3:
    """`hazardline.vlm.family.Family` of `VideoLlama3ForConditionalGeneration`."""

    model_class = VideoLlama3ForConditionalGeneration
    language_layers = r".*language_model\.layers\..*"
    vision = "model.vision_model"
    projector = "model.projector"
    first_projection = "readout.0"
    position_axes = 1

    def positions(self, core: Any, ids: Sequence[int], grids: Sequence[Grid]) -> Tensor:
        """0, 1, 2 ...: (1, tokens)."""
        return torch.arange(len(ids))[None]

    def encode(self, core: Any, patches: Tensor, grid: tuple[int, int], merge: int) -> Tensor:
        """Merged tokens of frames of one size: (frames, tokens of a frame, width)."""
        return pool_windows(encode_patches(core.model.vision_model, patches, grid, merge), merge)

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


def encode_patches(tower: Any, patches: Tensor, grid: tuple[int, int], merge: int) -> Tensor:
    """Patch states before merging: (frames, patches, vision hidden size), in merge-window order."""
    frames, count, _ = patches.shape
    states: Tensor = tower.embeddings(patches.flatten(0, 1).to(tower.dtype))
    positions = window_positions(*grid, merge).to(states.device)
    cos, sin = tower.rotary_pos_emb(states, positions)  # of one frame; broadcast over frames
    width = states.shape[-1]
    for layer in tower.encoder.layers:
        attention = layer.self_attn
        normed = layer.layer_norm1(states)
        query, key, value = (
            projection(normed).view(frames, count, attention.num_heads, attention.head_dim)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        mixed = attend(query, key, value, None, attention.scaling)
        states = states + attention.out_proj(mixed.transpose(1, 2).reshape(frames * count, width))
        states = states + layer.mlp(layer.layer_norm2(states))
    normalised: Tensor = tower.post_layernorm(states)
    return normalised.view(frames, count, width)


def pool_windows(states: Tensor, merge: int) -> Tensor:
    """The tower's bilinear reduction of each merge window: (frames, patches, width) -> (frames, tokens, width).

    Scale 1 / merge without anti-aliasing, as in transformers: the mean of the 2 x 2 patches in the middle of the window
    (of all four for merge 2).
    """
    frames, count, width = states.shape
    if merge == 1:
        return states
    windows = states.view(frames, count // merge**2, merge, merge, width)
    if merge % 2:
        return windows[:, :, merge // 2, merge // 2]
    low, high = merge // 2 - 1, merge // 2 + 1
    return windows[:, :, low:high, low:high].mean(dim=(2, 3))
