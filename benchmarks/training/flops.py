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
- the trained projector: three times.

The padded way runs all of it for k copies of prefix and longest suffix, padding included, with the head on every
position. The packed way has the encoder's output, runs prefix and suffixes once, the last layer's query, output and MLP
and the head on answer positions alone.
"""

from dataclasses import dataclass
from typing import Any

from hazardline.train.prefix import ClipRow
from hazardline.vlm.model import core_model, projector
from hazardline.vlm.settings import LINEAR_LAYERS

_FORWARD_BACKWARD_FROZEN, _FORWARD_BACKWARD_TRAINED = 2, 3


@dataclass(frozen=True)
class Shape:
    """Sizes that a count depends on.

    Attributes:
        hidden: h.
        kv_width: g.
        mlp: f.
        layers: L.
        vocab: V.
        lora_rank: r, on all linear layers.
        vision_patches: patches of the clip.
        patches_per_attention: patches that see one another in the encoder: those of a frame (or two).
        vision_width: w.
        vision_mlp: width of the encoder's MLP.
        vision_layers: layers of the encoder.
        patch_values: values of a patch.
        projector_parameters: of the projector's products.
        vision_tokens: tokens of the clip in the language model.
        prefix: tokens of the prefix.
        suffixes: tokens of question and answer, for every question.
        answers: tokens of the answer, for every question.
    """

    hidden: int
    kv_width: int
    mlp: int
    layers: int
    vocab: int
    lora_rank: int
    vision_patches: int
    patches_per_attention: int
    vision_width: int
    vision_mlp: int
    vision_layers: int
    patch_values: int
    projector_parameters: int
    vision_tokens: int
    prefix: int
    suffixes: tuple[int, ...]
    answers: tuple[int, ...]

    @classmethod
    def of(cls, model: Any, row: ClipRow) -> "Shape":
        """The shape of a pocket model (see `synthetic.py`) and a clip."""
        core = core_model(model)
        text, vision = core.config.text_config, core.config.vision_config
        is_qwen = core.config.model_type == "qwen2_vl"
        width = vision.embed_dim if is_qwen else vision.hidden_size
        tokens = sum(token == core.config.video_token_id for token in row.prefix)
        return cls(
            hidden=text.hidden_size,
            kv_width=text.num_key_value_heads * text.hidden_size // text.num_attention_heads,
            mlp=text.intermediate_size,
            layers=text.num_hidden_layers,
            vocab=text.vocab_size,
            lora_rank=model.peft_config["bench"].r,
            vision_patches=4 * tokens,
            patches_per_attention=256,
            vision_width=width,
            vision_mlp=int(width * vision.mlp_ratio) if is_qwen else vision.intermediate_size,
            vision_layers=vision.depth if is_qwen else vision.num_hidden_layers,
            patch_values=3 * vision.patch_size**2 * (2 if is_qwen else 1),
            projector_parameters=_trained_products(model),
            vision_tokens=tokens,
            prefix=len(row.prefix),
            suffixes=tuple(len(turn.question) + len(turn.answer) for turn in row.turns),
            answers=tuple(len(turn.answer) for turn in row.turns),
        )


def _trained_products(model: Any) -> int:
    found = projector(model)
    return sum(parameter.numel() for parameter in found.parameters() if parameter.ndim == 2 and parameter.requires_grad)


def encoder_flops(shape: Shape) -> int:
    """The frozen encoder over one clip."""
    width = shape.vision_width
    layer = 2 * (4 * width * width + 2 * width * shape.vision_mlp) + 4 * width * shape.patches_per_attention
    return shape.vision_patches * (shape.vision_layers * layer + 2 * shape.patch_values * width)


def projector_flops(shape: Shape) -> int:
    """The trained projector over one clip, forward and backward."""
    return _FORWARD_BACKWARD_TRAINED * 2 * shape.projector_parameters * shape.vision_tokens


def _sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    h, g, f = shape.hidden, shape.kv_width, shape.mlp
    return dict(zip(LINEAR_LAYERS, ((h, h), (h, g), (h, g), (h, h), (h, f), (h, f), (f, h)), strict=True))


def _products(shape: Shape, names: tuple[str, ...], tokens: int) -> int:
    """Named linear layers of one decoder layer with their LoRA, forward and backward."""
    total = 0
    for name in names:
        inner, outer = _sizes(shape)[name]
        frozen = _FORWARD_BACKWARD_FROZEN * 2 * inner * outer
        lora = _FORWARD_BACKWARD_TRAINED * 2 * shape.lora_rank * (inner + outer)
        total += tokens * (frozen + lora)
    return total


def _attention(shape: Shape, pairs: int) -> int:
    return 12 * shape.hidden * pairs


def _head(shape: Shape, positions: int) -> int:
    return _FORWARD_BACKWARD_FROZEN * 2 * shape.hidden * shape.vocab * positions


def causal_pairs(tokens: int) -> int:
    """Pairs of a causal sequence in which one token sees the other or itself."""
    return tokens * (tokens + 1) // 2


def padded_flops(shape: Shape, skips_hidden_pairs: bool = True) -> int:
    """A step of one padded sample a question, from pixels.

    A padded batch needs a mask, and with one torch's kernel computes hidden pairs as well (`skips_hidden_pairs` False);
    what has to be computed is half of that.
    """
    count, length = len(shape.suffixes), shape.prefix + max(shape.suffixes)
    pairs = causal_pairs(length) if skips_hidden_pairs else length * length
    layer = _products(shape, LINEAR_LAYERS, length) + _attention(shape, pairs)
    return count * (encoder_flops(shape) + projector_flops(shape) + shape.layers * layer + _head(shape, length))


def packed_flops(shape: Shape) -> int:
    """A step of one packed row, from cached features."""
    tokens, asked = shape.prefix + sum(shape.suffixes), sum(shape.answers)
    pairs = causal_pairs(shape.prefix) + sum(shape.prefix * length + causal_pairs(length) for length in shape.suffixes)
    layer = _products(shape, LINEAR_LAYERS, tokens) + _attention(shape, pairs)
    last_pairs = sum(
        answer * (shape.prefix + length - answer) + causal_pairs(answer) - answer
        for length, answer in zip(shape.suffixes, shape.answers, strict=True)
    )
    everywhere = ("k_proj", "v_proj")
    at_answers = tuple(name for name in LINEAR_LAYERS if name not in everywhere)
    last = _products(shape, everywhere, tokens) + _products(shape, at_answers, asked) + _attention(shape, last_pairs)
    return projector_flops(shape) + (shape.layers - 1) * layer + last + _head(shape, asked)


def flop_limit(shape: Shape, skips_hidden_pairs: bool = True) -> float:
    """Speed-up of the packed over the padded step if every operation took the same time."""
    return padded_flops(shape, skips_hidden_pairs) / packed_flops(shape)
