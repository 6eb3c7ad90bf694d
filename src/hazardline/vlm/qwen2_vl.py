"""Qwen2-VL (HazardNet's base): an image or a video in one piece, positions in time, height and width (M-RoPE)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

from hazardline.vlm.attention import attend
from hazardline.vlm.media import Grid, Media, window_positions

_TEXT, _IMAGE, _VIDEO = 0, 1, 2  # transformers' mm_token_type_ids


class Qwen2Vl:
    """`hazardline.vlm.family.Family` of `Qwen2VLForConditionalGeneration`."""

    model_class = Qwen2VLForConditionalGeneration
    language_layers = r".*language_model\.layers\..*"
    vision = "model.visual"
    projector = "model.visual.merger"
    first_projection = "mlp.0"
    position_axes = 3

    def positions(self, core: Any, ids: Sequence[int], grids: Sequence[Grid]) -> Tensor:
        """The model's own `get_rope_index`: (3, 1, tokens). It keeps nothing in the model, unlike `forward`."""
        tokens = torch.tensor([list(ids)])
        are_images = bool((tokens == core.config.image_token_id).any())
        found: Tensor = core.model.get_rope_index(
            tokens, mm_token_type_ids=_kinds(core, tokens), **_by_kind(grids, are_images, tokens.device)
        )[0]
        return found

    def encode(self, core: Any, patches: Tensor, grid: tuple[int, int], merge: int) -> Tensor:
        """Patch states of images of one size: (images, patches, width); the merger is the projector's part."""
        return encode_patches(core.model.visual, patches, grid, merge)

    def native_features(self, core: Any, media: Media) -> Tensor:
        """Patch states before the merger, (patches, width)."""
        states: Tensor = core.model.visual(
            media.patches.to(core.device), grid_thw=torch.tensor(media.grids, device=core.device)
        ).last_hidden_state
        return states

    def native_inputs(self, core: Any, ids: Sequence[int], media: Media) -> dict[str, Any]:
        """As `Qwen2VLProcessor` makes them."""
        tokens = torch.tensor([list(ids)], device=core.device)
        pixels = "pixel_values" if media.kind == "image" else "pixel_values_videos"
        return {
            "input_ids": tokens,
            "mm_token_type_ids": _kinds(core, tokens),
            pixels: media.patches.to(core.device),
            **_by_kind(media.grids, media.kind == "image", core.device),
        }


def _kinds(core: Any, tokens: Tensor) -> Tensor:
    kinds = torch.full_like(tokens, _TEXT, dtype=torch.int32)
    kinds[tokens == core.config.image_token_id] = _IMAGE
    kinds[tokens == core.config.video_token_id] = _VIDEO
    return kinds


def _by_kind(grids: Sequence[Grid], are_images: bool, device: torch.device) -> dict[str, Tensor]:
    """A prompt holds images or a video, and transformers has a keyword for each."""
    name = "image_grid_thw" if are_images else "video_grid_thw"
    return {name: torch.tensor(grids, device=device)} if grids else {}


def encode_patches(tower: Any, patches: Tensor, grid: tuple[int, int], merge: int) -> Tensor:
    """Patch states before the merger of images of one size, all in one batch: (images, patches, width)."""
    images, count, _ = patches.shape
    states: Tensor = tower.patch_embed(patches.flatten(0, 1))
    cos, sin = tower.rotary_pos_emb(states, window_positions(*grid, merge).to(states.device))  # of one image
    for block in tower.blocks:
        attention = block.attn
        query, key, value = (
            attention.qkv(block.norm1(states)).view(images, count, 3, attention.num_heads, -1).unbind(dim=2)
        )
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        mixed = attend(query, key, value, None, attention.scaling)
        states = states + attention.proj(mixed.transpose(1, 2).reshape(images * count, -1))
        states = states + block.mlp(block.norm2(states))
    return states.view(images, count, -1)
