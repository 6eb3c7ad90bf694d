"""The two ways to take one training step over a clip and its questions, whose losses and gradients are the same.

`padded_loss` is what a usual trainer does (LLaMA-Factory, TRL, HF Trainer): one sample a question, padded to a batch,
pixels and logits of every one of them. `packed_loss` is ours.
"""

from typing import Any

import torch
from torch import Tensor

from benchmarks.training.synthetic import SyntheticClip, encode
from hazardline.train.packed import answer_losses
from hazardline.train.prefix import ClipRow
from hazardline.vlm.family import family_of
from hazardline.vlm.media import Media
from hazardline.vlm.model import core_model, text_attention

_IGNORED = -100


def padded_batch(model: Any, clip: SyntheticClip) -> dict[str, Any]:
    """Keywords of transformers' forward pass over a right-padded batch of one sample a question, with labels."""
    row = clip.row
    samples = [[*row.prefix, *turn.question, *turn.answer] for turn in row.turns]
    longest = max(len(sample) for sample in samples)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    visible = torch.zeros_like(ids)
    labels = torch.full_like(ids, _IGNORED)
    for number, (sample, turn) in enumerate(zip(samples, row.turns, strict=True)):
        ids[number, : len(sample)] = torch.tensor(sample)
        visible[number, : len(sample)] = 1
        labels[number, len(sample) - len(turn.answer) : len(sample)] = torch.tensor(turn.answer)
    count = len(samples)
    media = Media(clip.media.patches.repeat(count, 1), clip.media.grids * count, clip.media.merge, clip.media.kind)
    core = core_model(model)
    inputs = family_of(core).native_inputs(core, samples[0], media)
    if "mm_token_type_ids" in inputs:
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.where(ids == core.config.video_token_id, kinds.max(), kinds.min())
    return {**inputs, "input_ids": ids, "attention_mask": visible, "labels": labels}


def padded_loss(model: Any, batch: dict[str, Any]) -> Tensor:
    """Mean over answer tokens, by transformers' own forward pass."""
    with text_attention(model, "sdpa"):
        loss: Tensor = core_model(model)(**batch, use_cache=False).loss
    return loss


def packed_loss(model: Any, row: ClipRow) -> Tensor:
    """Mean over answer tokens, from cached features."""
    return answer_losses(model, [row]).mean_over_tokens()


def encode_once_loss(model: Any, clip: SyntheticClip) -> Tensor:
    """As `packed_loss`, without a cache: the encoder runs once for all questions of the clip in every step."""
    row = clip.row
    return packed_loss(model, ClipRow(encode(model, clip.media), row.prefix, row.turns, row.grids))
