"""The FLOP count against what torch's own counter sees in matrix products, and the limit's behaviour."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training.steps import packed_loss, padded_batch, padded_loss
from benchmarks.training.synthetic import counted, encode, pocket_branch, synthetic_clip
from hazardline.train.flops import (
    Adapter,
    Work,
    causal_pairs,
    encoder_flops,
    flop_limit,
    packed_flops,
    padded_flops,
)
from hazardline.train.model_shape import ModelShape, VisionShape

SHAPE = ModelShape(
    hidden=256,
    mlp=1024,
    layers=6,
    heads=4,
    kv_heads=2,
    vocab=4096,
    is_tied=False,
    vision=VisionShape("qwen2_vl", width=192, mlp=768, layers=4, patch_values=1176, merged=4),
)
ADAPTER = Adapter(rank=16)
WORK = Work(
    vision_patches=4096,
    patches_per_attention=256,
    vision_tokens=1024,
    prefix=1034,
    suffixes=(60,) * 5,
    answers=(20,) * 5,
)


def torch_counts(function: object) -> int:
    with FlopCounterMode(display=False) as counter:
        function()  # type: ignore[operator]
    return int(counter.get_total_flops())


@pytest.mark.parametrize("family", ["qwen2_vl", "video_llama_3"])
def test_counts_are_those_of_torch_apart_from_attention(family: str) -> None:
    """Attention is left out on both sides: fused kernels are not counted on a CPU, or not by visible pairs."""
    model = pocket_branch(family)  # type: ignore[arg-type]
    clip = synthetic_clip(model, 64, 2)
    count = counted(model, clip.row)
    batch = padded_batch(model, clip)
    padded = torch_counts(lambda: padded_loss(model, batch).backward())
    packed = torch_counts(lambda: packed_loss(model, clip.row).backward())
    assert padded == pytest.approx(padded_flops(*count), rel=0.12)
    assert packed == pytest.approx(packed_flops(*count), rel=0.12)


def test_encoder_count_is_that_of_torch() -> None:
    model = pocket_branch("video_llama_3")
    clip = synthetic_clip(model, 64, 1)
    shape, _, work = counted(model, clip.row)
    assert torch_counts(lambda: encode(model, clip.media)) == encoder_flops(
        shape, replace(work, patches_per_attention=0)
    )


def test_causal_pairs() -> None:
    assert causal_pairs(4) == int(torch.ones(4, 4).tril().sum())


def test_hidden_pairs_cost_the_padded_way_more() -> None:
    limit = flop_limit(SHAPE, ADAPTER, WORK)
    assert 1.05 < flop_limit(SHAPE, ADAPTER, WORK, skips_hidden_pairs=False) / limit < 1.3


def test_one_question_saves_the_encoder_and_little_else() -> None:
    assert 1.2 < flop_limit(SHAPE, ADAPTER, replace(WORK, suffixes=(60,), answers=(20,))) < 2.2


def test_more_questions_raise_the_limit_beyond_their_number() -> None:
    limit = flop_limit(SHAPE, ADAPTER, WORK)
    assert 5 < limit < 10
    assert flop_limit(SHAPE, ADAPTER, replace(WORK, suffixes=(60,) * 6, answers=(20,) * 6)) > limit


def test_a_larger_vocabulary_costs_the_padded_way_more() -> None:
    large = replace(SHAPE, vocab=32_000)
    more_padded = padded_flops(large, ADAPTER, WORK) - padded_flops(SHAPE, ADAPTER, WORK)
    assert more_padded > 20 * (packed_flops(large, ADAPTER, WORK) - packed_flops(SHAPE, ADAPTER, WORK))


def test_what_is_computed_again_or_not_adapted_changes_the_count() -> None:
    plain = packed_flops(SHAPE, ADAPTER, WORK)
    again = packed_flops(SHAPE, replace(ADAPTER, recomputes=True), WORK)
    assert 1.3 < again / plain < 1.5
    assert packed_flops(SHAPE, replace(ADAPTER, targets=("q_proj",), trains_projector=False), WORK) < plain
