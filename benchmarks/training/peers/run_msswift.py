"""Runs in ms-swift's environment: `run_msswift.py ARGUMENTS.json FIGURES.json`.

ms-swift packs with flash attention alone, which has no CPU kernel. In its place stands torch's own attention over each
packed sample, the same work without padding; nothing else of ms-swift's training is changed.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from watch import Watch

ATTENTION_NAME = "packed_sdpa"


def packed_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: Any = None, **named: Any
) -> Any:
    """Causal attention within each sample of a packed row (`cu_seq_lens_q`), or plain attention without one."""
    bounds = named.get("cu_seq_lens_q")
    is_text = bounds is not None
    edges = bounds.tolist() if is_text else [0, query.shape[2]]
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            is_causal=is_text,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for start, end in pairwise(edges)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def main() -> None:
    """Train with ms-swift's own `sft_main` and write what was seen."""
    torch.set_num_threads(1)
    watch = Watch()
    arguments = json.loads(Path(sys.argv[1]).read_text())
    from swift.arguments import SftArguments
    from swift.pipelines import sft_main
    from swift.template.templates.qwen import Qwen2VLTemplate
    from swift.trainers.mixin import SwiftMixin
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    AttentionInterface.register(ATTENTION_NAME, packed_attention)
    AttentionMaskInterface.register(ATTENTION_NAME, flash_attention_mask)

    def allow_packing(self: Any) -> None:
        self.padding_free = self.padding_free or self.packing

    SftArguments._check_padding_free = allow_packing
    Qwen2VLTemplate.image_token_id = arguments["image_token_id"]  # of the published vocabulary, in its source
    Qwen2VLTemplate.video_token_id = arguments["video_token_id"]
    own_callbacks = SwiftMixin._get_callbacks
    SwiftMixin._get_callbacks = lambda self, args: [*own_callbacks(self, args), watch]
    watch.time(Qwen2VLTemplate, "replace_tag", "decode")
    watch.time(Qwen2VLVideoProcessor, "__call__", "decode")
    watch.time(Qwen2VisionTransformerPretrainedModel, "forward", "encode")
    sft_main([*arguments["command_line"], "--attn_impl", ATTENTION_NAME])
    watch.write(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
