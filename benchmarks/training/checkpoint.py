"""A pocket checkpoint on disk that hazardline and both peers load: weights, tokenizer, processor, template, adapter.

Everything is made from seeds: no hub, no download. Frames are 224 x 224, so that nobody resizes them.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    VideoLlama3ImageProcessor,
    VideoLlama3Processor,
    VideoLlama3VideoProcessor,
)

from benchmarks.training.synthetic import FRAME_PX, Family, pocket_base
from benchmarks.training.words import WORDS
from hazardline.vlm.model import LoraSettings, add_branch, save_branch

ADAPTER_LORA = LoraSettings(
    rank=16, alpha=32, dropout=0.0, targets=("q_proj", "k_proj", "v_proj", "o_proj"), trains_projector=False
)
"""LoRA settings of the comparison with peers; their projector stays frozen, so ours does too."""
SYSTEM = "You are a helpful assistant."
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_IDS = {
    "pad": "<|endoftext|>",
    "end": "<|im_end|>",
    "image": "<|image_pad|>",
    "video": "<|video_pad|>",
    "vision_start": "<|vision_start|>",
    "vision_end": "<|vision_end|>",
}
_SPREAD = 0.04
"""Standard deviation of LoRA's second factor at the start: with zeros there the loss would hardly move at first."""
_MEDIA = {
    "qwen2_vl": ("<|vision_start|>{pad}<|vision_end|>", ""),
    "video_llama_3": ("{pad}", "\n"),
}


def chat_template(family: Family) -> str:
    """Qwen2-VL's chat template with its default system message, or VideoLLaMA3's in the same form."""
    around, after = _MEDIA[family]
    image, video = around.format(pad="<|image_pad|>") + after, around.format(pad="<|video_pad|>") + after
    return (
        "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}"
        + image
        + "{% elif c['type'] == 'video' %}"
        + video
        + "{% else %}{{ c['text'] }}"
        "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that knows every word of the questions and answers as one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        [" ".join(WORDS), " " + " ".join(WORDS), SYSTEM, "system user assistant"] * 4, trainer
    )
    others = [token for token in _SPECIAL if token not in ("<|im_end|>", "<|endoftext|>")]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106 - a token, not a password
        pad_token="<|endoftext|>",  # noqa: S106
        additional_special_tokens=others,
        padding_side="right",
    )


def build_processor(family: Family, tokenizer: PreTrainedTokenizerFast) -> Any:
    """Transformers' own processor of the family."""
    template = chat_template(family)
    area = FRAME_PX * FRAME_PX
    size = {"shortest_edge": area, "longest_edge": area}
    if family == "qwen2_vl":
        video = Qwen2VLVideoProcessor(size=size, cap_pixels_per_frame=False)
        return Qwen2VLProcessor(Qwen2VLImageProcessor(size=size), tokenizer, video, chat_template=template)
    of_video = VideoLlama3VideoProcessor(size={"shortest_edge": area, "longest_edge": 128 * area})
    return VideoLlama3Processor(VideoLlama3ImageProcessor(size=size), tokenizer, of_video, chat_template=template)


def make_checkpoint(family: Family, folder: Path) -> Path:
    """Write `folder/base` and `folder/adapter`, unless they are there already."""
    if (folder / "complete").is_file():
        return folder
    tokenizer = build_tokenizer()
    base = pocket_base(family, {name: tokenizer.vocab[token] for name, token in _IDS.items()})
    base.config.architectures = [type(base).__name__]
    base.save_pretrained(folder / "base")
    build_processor(family, tokenizer).save_pretrained(folder / "base")
    torch.manual_seed(1)
    model = add_branch(base, "default", ADAPTER_LORA)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(_SPREAD * torch.randn(parameter.shape, generator=generator))
    save_branch(model, "default", folder / "adapter")
    (folder / "complete").touch()
    return folder
