"""The FLOP count against what torch's own counter sees in matrix products, and the limit's behaviour."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training.flops import (
    Shape,
    causal_pairs,
    encoder_flops,
    flop_limit,
    packed_flops,
    padded_flops,
)
from benchmarks.training.steps import packed_loss, padded_batch, padded_loss
from benchmarks.training.synthetic import encode, pocket_branch, synthetic_clip

SHAPE = Shape(
    hidden=256,
    kv_width=128,
    mlp=1024,
    layers=6,
    vocab=4096,
    lora_rank=16,
    vision_patches=4096,
    patches_per_attention=256,
    vision_width=192,
    vision_mlp=768,
    vision_layers=4,
    patch_values=1176,
    projector_parameters=768 * 768 + 768 * 256,
    vision_tokens=1024,
    prefix=1034,
    suffixes=(60,) * 5,
    answers=(20,) * 5,
)


def counted(function: object) -> int:
    with FlopCounterMode(display=False) as counter:
        function()  # type: ignore[operator]
    return int(counter.get_total_flops())


@pytest.mark.parametrize("family", ["qwen2_vl", "video_llama_3"])
def test_counts_are_those_of_torch_apart_from_attention(family: str) -> None:
    """Attention is left out on both sides: fused kernels are not counted on a CPU, or not by visible pairs."""
    model = pocket_branch(family)  # type: ignore[arg-type]
    clip = synthetic_clip(model, 64, 2)
    shape = Shape.of(model, clip.row)
    batch = padded_batch(model, clip)
    padded = counted(lambda: padded_loss(model, batch).backward())
    packed = counted(lambda: packed_loss(model, clip.row).backward())
    assert padded == pytest.approx(padded_flops(shape), rel=0.12)
    assert packed == pytest.approx(packed_flops(shape), rel=0.12)


def test_encoder_count_is_that_of_torch() -> None:
    model = pocket_branch("video_llama_3")
    clip = synthetic_clip(model, 64, 1)
    without_attention = replace(Shape.of(model, clip.row), patches_per_attention=0)
    assert counted(lambda: encode(model, clip.media)) == encoder_flops(without_attention)


def test_causal_pairs() -> None:
    assert causal_pairs(4) == int(torch.ones(4, 4).tril().sum())


def test_hidden_pairs_cost_the_padded_way_more() -> None:
    assert 1.05 < flop_limit(SHAPE, skips_hidden_pairs=False) / flop_limit(SHAPE) < 1.3


def test_one_question_saves_the_encoder_and_little_else() -> None:
    one = replace(SHAPE, suffixes=(60,), answers=(20,))
    assert 1.2 < flop_limit(one) < 2.2


def test_more_questions_raise_the_limit_beyond_their_number() -> None:
    assert 5 < flop_limit(SHAPE) < 10
    assert flop_limit(replace(SHAPE, suffixes=(60,) * 6, answers=(20,) * 6)) > flop_limit(SHAPE)


def test_a_larger_vocabulary_costs_the_padded_way_more() -> None:
    large = replace(SHAPE, vocab=32_000)
    assert padded_flops(large) - padded_flops(SHAPE) > 20 * (packed_flops(large) - packed_flops(SHAPE))
