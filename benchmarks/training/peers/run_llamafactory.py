"""Runs in LLaMA-Factory's environment: `run_llamafactory.py ARGUMENTS.json FIGURES.json`."""

import json
import sys
from pathlib import Path

import torch
from watch import Watch


def main() -> None:
    """Train with LLaMA-Factory's own `run_exp` and write what was seen."""
    torch.set_num_threads(1)
    watch = Watch()
    from llamafactory.data.mm_plugin import Qwen2VLPlugin
    from llamafactory.train.tuner import run_exp
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    watch.time(Qwen2VLPlugin, "_regularize_videos", "decode")
    watch.time(Qwen2VLVideoProcessor, "__call__", "decode")
    watch.time(Qwen2VisionTransformerPretrainedModel, "forward", "encode")
    run_exp(json.loads(Path(sys.argv[1]).read_text()), callbacks=[watch])
    watch.write(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
