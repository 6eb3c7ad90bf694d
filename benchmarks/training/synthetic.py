"""Clips of random pixels and token ids, at the sizes that the grid asks for, and pocket models of both families.

The parts of a step that are timed do not depend on what is in a clip, so these need no video file. A clip has 64
vision tokens a step in time (16 x 16 patches of 14 pixels, merged 2 x 2), questions of about 40 and answers of about 20
tokens.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import PeftModel
from torch import Tensor

from hazardline.pocket.architecture import PocketSize, build_model, build_qwen2_vl
from hazardline.train.flops import Adapter, Work
from hazardline.train.model_shape import ModelShape
from hazardline.train.packed import use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.family import family_of
from hazardline.vlm.layout import Layout
from hazardline.vlm.media import Media
from hazardline.vlm.model import LoraSettings, add_branch, core_model

Family = Literal["qwen2_vl", "video_llama_3"]

SIZE = PocketSize(
    vision_width=192,
    vision_layers=4,
    vision_mlp=768,
    vision_heads=4,
    text_width=256,
    text_layers=6,
    text_mlp=1024,
    text_heads=4,
    text_kv_heads=2,
)
PATCH_PX, FRAME_PX, MERGE = 14, 224, 2
VOCAB_SIZE = 4096
TOKENS_PER_GROUP = (FRAME_PX // PATCH_PX // MERGE) ** 2
"""Vision tokens of one step in time: of a frame (VideoLLaMA3) or of two (Qwen2-VL)."""
LORA = LoraSettings(rank=16, alpha=32, dropout=0.0)
QUESTION_TOKENS, ANSWER_TOKENS = 40, 20
END_ID = 2
_IDS = {"pad": 0, "end": END_ID, "image": 3, "video": 4, "vision_start": 5, "vision_end": 6}
_FIRST_WORD = 16
_SYSTEM_TOKENS = 8


@dataclass(frozen=True)
class SyntheticClip:
    """A clip as the engine takes it, and its pixels as transformers takes them."""

    row: ClipRow
    media: Media


def pocket_base(family: Family, ids: dict[str, int] | None = None, seed: int = 0) -> Any:
    """A frozen model of random weights."""
    ids = _IDS if ids is None else ids
    base: Any
    if family == "qwen2_vl":
        base = build_qwen2_vl(SIZE, PATCH_PX, VOCAB_SIZE, ids, seed)
    else:
        layout = Layout(width_px=FRAME_PX, height_px=FRAME_PX, patch_px=PATCH_PX, merge=MERGE, channels="rgb")
        base = build_model(SIZE, layout, VOCAB_SIZE, ids, seed)
    base.requires_grad_(False)
    return base


def pocket_branch(family: Family) -> PeftModel:
    """A model with one branch in training: LoRA on all linear layers of the language model, and the projector."""
    torch.manual_seed(1)
    model = add_branch(pocket_base(family), "bench", LORA)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zeros at first: the gradient of the other factor would vanish
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    use_tree_attention(model)
    model.train()
    return model


def synthetic_clip(model: Any, num_tokens: int, num_questions: int, seed: int = 0) -> SyntheticClip:
    """A clip of `num_tokens` vision tokens (a multiple of 64) with questions and answers of uneven lengths."""
    core = core_model(model)
    is_qwen = core.config.model_type == "qwen2_vl"
    generator = torch.Generator().manual_seed(1000 * num_tokens + 10 * num_questions + seed)
    side = FRAME_PX // PATCH_PX
    grid = (num_tokens // TOKENS_PER_GROUP, side, side)
    values = 3 * PATCH_PX**2 * (2 if is_qwen else 1)
    patches = torch.randn(grid[0] * side * side, values, generator=generator)
    media = Media(patches, (grid,), MERGE, "video")
    places = [_IDS["vision_start"], *[_IDS["video"]] * num_tokens, _IDS["vision_end"]]
    prefix = [*_words(_SYSTEM_TOKENS, generator), *places]
    turns = [
        Turn(
            _words(_uneven(QUESTION_TOKENS, generator), generator), _words(_uneven(ANSWER_TOKENS, generator), generator)
        )
        for _ in range(num_questions)
    ]
    return SyntheticClip(ClipRow(encode(model, media), prefix, turns, (grid,) if is_qwen else ()), media)


def counted(model: Any, row: ClipRow) -> tuple[ModelShape, Adapter, Work]:
    """What `hazardline.train.flops` counts of a model of `pocket_branch` and a clip."""
    core = core_model(model)
    tokens = sum(token == core.config.video_token_id for token in row.prefix)
    work = Work(
        vision_patches=MERGE**2 * tokens,
        patches_per_attention=(FRAME_PX // PATCH_PX) ** 2,
        vision_tokens=tokens,
        prefix=len(row.prefix),
        suffixes=tuple(len(turn.question) + len(turn.answer) for turn in row.turns),
        answers=tuple(len(turn.answer) for turn in row.turns),
    )
    return ModelShape.of(core), Adapter(LORA.rank, LORA.targets), work


@torch.no_grad()
def encode(model: Any, media: Media) -> Tensor:
    """Features by transformers' own frozen encoder."""
    core = core_model(model)
    return family_of(core).native_features(core, media)


def _uneven(mean: int, generator: torch.Generator) -> int:
    return mean + int(torch.randint(-(mean // 4), mean // 4 + 1, (1,), generator=generator))


def _words(count: int, generator: torch.Generator) -> list[int]:
    found: list[int] = torch.randint(_FIRST_WORD, VOCAB_SIZE, (count,), generator=generator).tolist()
    return found
