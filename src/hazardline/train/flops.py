"""Floating-point operations of a step, counted from shapes: what a perfect implementation could win.

Counted are the multiplications and additions of matrix products (2 for each pair), as both ways have to do them. With
hidden size h, key-value width g, MLP width f, layers L, vocabulary V, n tokens, and s pairs of tokens of which one sees
the other:

- a decoder layer's products of one token: 2 (2 h^2 + 2 h g + 3 h f). LoRA freezes the weights, so the backward pass
  adds the gradient of the input alone: twice the forward pass in all.
- LoRA of rank r on a projection a -> b: 2 r (a + b) a token, three times (its weights have gradients).
- attention: 4 h a visible pair forward (scores and mixture), 8 h backward. A fused kernel that computes the scores
  again in its backward pass needs 10 h; that is a choice of the kernel and not counted.
- head: 2 h V a position, twice.
- the frozen encoder, forward only: 2 (4 w^2 + m w f_v) a patch and layer with m = 2 products, and 4 w a pair.
- the projector: three times where it is trained, else once.

The padded way runs all of it for k copies of prefix and longest suffix, padding included, with the head on every
position. The packed way has the encoder's output, runs prefix and suffixes once, the last layer's query, output and MLP
and the head on answer positions alone. Where activations are computed again in the backward pass, the decoder layers
but the last run forward twice. What NF4 costs to be widened for each product is not counted.
"""

from dataclasses import dataclass

from hazardline.train.model_shape import ModelShape
from hazardline.vlm.settings import LINEAR_LAYERS

_FORWARD, _FORWARD_BACKWARD_FROZEN, _FORWARD_BACKWARD_TRAINED = 1, 2, 3


@dataclass(frozen=True)
class Adapter:
    """What a branch trains, as far as operations depend on it."""

    rank: int
    targets: tuple[str, ...] = LINEAR_LAYERS
    trains_projector: bool = True
    recomputes: bool = False
    """Whether activations are computed again in the backward pass (gradient checkpointing)."""


@dataclass(frozen=True)
class Work:
    """What one clip with its questions gives to compute.

    Attributes:
        vision_patches: patches of the clip.
        patches_per_attention: patches that see one another in the encoder: those of a frame (or two).
        vision_tokens: tokens of the clip in the language model.
        prefix: tokens of the prefix.
        suffixes: tokens of question and answer, for every question.
        answers: tokens of the answer, for every question.
    """

    vision_patches: int
    patches_per_attention: int
    vision_tokens: int
    prefix: int
    suffixes: tuple[int, ...]
    answers: tuple[int, ...]


def encoder_flops(shape: ModelShape, work: Work) -> int:
    """The frozen encoder over one clip."""
    width = shape.vision.width
    layer = 2 * (4 * width * width + 2 * width * shape.vision.mlp) + 4 * width * work.patches_per_attention
    return work.vision_patches * (shape.vision.layers * layer + 2 * shape.vision.patch_values * width)


def projector_flops(shape: ModelShape, adapter: Adapter, work: Work) -> int:
    """The projector over one clip."""
    passes = _FORWARD_BACKWARD_TRAINED if adapter.trains_projector else _FORWARD
    return passes * 2 * shape.projector_products * work.vision_tokens


def _products(shape: ModelShape, adapter: Adapter, names: tuple[str, ...], tokens: int, again: bool = False) -> int:
    """Named linear layers of one decoder layer with their LoRA, forward and backward."""
    total = 0
    for name in names:
        inner, outer = shape.linear_sizes[name]
        frozen = (_FORWARD_BACKWARD_FROZEN + again) * 2 * inner * outer
        lora = (_FORWARD_BACKWARD_TRAINED + again) * 2 * adapter.rank * (inner + outer)
        total += tokens * (frozen + (lora if name in adapter.targets else 0))
    return total


def _attention(shape: ModelShape, pairs: int, again: bool = False) -> int:
    return (16 if again else 12) * shape.hidden * pairs


def _head(shape: ModelShape, positions: int) -> int:
    return _FORWARD_BACKWARD_FROZEN * 2 * shape.hidden * shape.vocab * positions


def causal_pairs(tokens: int) -> int:
    """Pairs of a causal sequence in which one token sees the other or itself."""
    return tokens * (tokens + 1) // 2


def padded_flops(shape: ModelShape, adapter: Adapter, work: Work, skips_hidden_pairs: bool = True) -> int:
    """A step of one padded sample a question, from pixels.

    A padded batch needs a mask, and with one torch's kernel computes hidden pairs as well (`skips_hidden_pairs` False);
    what has to be computed is half of that.
    """
    count, length = len(work.suffixes), work.prefix + max(work.suffixes)
    pairs = causal_pairs(length) if skips_hidden_pairs else length * length
    again = adapter.recomputes
    layer = _products(shape, adapter, LINEAR_LAYERS, length, again) + _attention(shape, pairs, again)
    vision = encoder_flops(shape, work) + projector_flops(shape, adapter, work)
    return count * (vision + shape.layers * layer + _head(shape, length))


def packed_flops(shape: ModelShape, adapter: Adapter, work: Work) -> int:
    """A step of one packed row, from cached features."""
    tokens, asked = work.prefix + sum(work.suffixes), sum(work.answers)
    pairs = causal_pairs(work.prefix) + sum(work.prefix * length + causal_pairs(length) for length in work.suffixes)
    again = adapter.recomputes
    layer = _products(shape, adapter, LINEAR_LAYERS, tokens, again) + _attention(shape, pairs, again)
    last_pairs = sum(
        answer * (work.prefix + length - answer) + causal_pairs(answer) - answer
        for length, answer in zip(work.suffixes, work.answers, strict=True)
    )
    everywhere = ("k_proj", "v_proj")
    at_answers = tuple(name for name in LINEAR_LAYERS if name not in everywhere)
    last = _products(shape, adapter, everywhere, tokens) + _products(shape, adapter, at_answers, asked)
    last += _attention(shape, last_pairs)
    return projector_flops(shape, adapter, work) + (shape.layers - 1) * layer + last + _head(shape, asked)


def flop_limit(shape: ModelShape, adapter: Adapter, work: Work, skips_hidden_pairs: bool = True) -> float:
    """Speed-up of the packed over the padded step if every operation took the same time."""
    return padded_flops(shape, adapter, work, skips_hidden_pairs) / packed_flops(shape, adapter, work)
