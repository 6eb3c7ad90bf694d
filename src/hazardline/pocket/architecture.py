"""The pocket models: native architectures at a size that a laptop's CPU can train. Random weights."""

from typing import Any

import torch
from transformers import (
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
)

from hazardline.documents import Document
from hazardline.vlm.layout import Layout


class PocketSize(Document):
    """Widths and depths. The defaults are those of the shipped checkpoint."""

    vision_width: int = 128
    vision_layers: int = 4
    vision_mlp: int = 384
    vision_heads: int = 4
    text_width: int = 192
    text_layers: int = 6
    text_mlp: int = 512
    text_heads: int = 6
    text_kv_heads: int = 2


TINY = PocketSize(
    vision_width=32,
    vision_layers=1,
    vision_mlp=64,
    vision_heads=2,
    text_width=48,
    text_layers=2,
    text_mlp=96,
    text_heads=4,
    text_kv_heads=2,
)
"""For tests: every part of the architecture, in a few hundred kilobytes."""


def build_model(
    size: PocketSize, layout: Layout, vocab_size: int, ids: dict[str, int], seed: int
) -> VideoLlama3ForConditionalGeneration:
    """A VideoLLaMA3 of random weights.

    Args:
        size: widths and depths.
        layout: patch size and channels.
        vocab_size: tokens of the vocabulary.
        ids: ids of the tokens `pad`, `end`, `image` and `video`.
        seed: of the weights.
    """
    text = Qwen2Config(**_text(size, vocab_size, ids), rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})
    vision: dict[str, Any] = {
        "hidden_size": size.vision_width,
        "intermediate_size": size.vision_mlp,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": size.vision_heads,
        "patch_size": layout.patch_px,
        "num_channels": layout.num_channels,
    }
    config = VideoLlama3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["image"],
        video_token_id=ids["video"],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: VideoLlama3ForConditionalGeneration = VideoLlama3ForConditionalGeneration._from_config(
            config, attn_implementation="sdpa"
        )
    return model


def build_qwen2_vl(
    size: PocketSize, patch_px: int, vocab_size: int, ids: dict[str, int], seed: int
) -> Qwen2VLForConditionalGeneration:
    """A Qwen2-VL of random weights; arguments as of `build_model`, also with ids `vision_start` and `vision_end`."""
    half = size.text_width // size.text_heads // 2
    time = half // 4
    height = (half - time) // 2
    rope = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "mrope_section": [time, height, half - time - height],
    }
    config = Qwen2VLConfig(
        text_config={**_text(size, vocab_size, ids), "rope_parameters": rope},
        vision_config={
            "depth": size.vision_layers,
            "embed_dim": size.vision_width,
            "hidden_size": size.text_width,
            "num_heads": size.vision_heads,
            "mlp_ratio": size.vision_mlp // size.vision_width,
            "patch_size": patch_px,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["image"],
        video_token_id=ids["video"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Qwen2VLForConditionalGeneration = Qwen2VLForConditionalGeneration._from_config(
            config, attn_implementation="sdpa"
        )
    return model


def _text(size: PocketSize, vocab_size: int, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "vocab_size": vocab_size,
        "hidden_size": size.text_width,
        "intermediate_size": size.text_mlp,
        "num_hidden_layers": size.text_layers,
        "num_attention_heads": size.text_heads,
        "num_key_value_heads": size.text_kv_heads,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": ids["end"],
        "pad_token_id": ids["pad"],
    }
