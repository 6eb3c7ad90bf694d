"""Exact shared-prefix training: one row `[clip prefix | question, answer 1 | ... | question, answer k]`.

Every suffix attends to the prefix and to itself, and its positions restart after the prefix, so that the gradient is
that of k separate samples (docs/adr/0003). The attention function `hazardline_tree` is registered with transformers; it
has no mask builder, so decoding with a cache must use `sdpa` (`hazardline.vlm.generate` sees to it).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import rotate_half

from hazardline.vlm.attention import attend
from hazardline.vlm.model import core_model, text_attention

ATTENTION_NAME = "hazardline_tree"
_IGNORED = -100


@dataclass(frozen=True)
class Turn:
    """One question and its answer as token ids.

    Attributes:
        question: ids.
        answer: ids with the end token.
        weight: of the turn in `AnswerLosses.mean_over_turns`.
        token_weights: of the answer's tokens within the turn (default: equal); they are normalised to sum 1.
    """

    question: list[int]
    answer: list[int]
    weight: float = 1.0
    token_weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class TimeTargets:
    """Ordinal soft targets: a time token is trained towards its neighbours on the time axis as well.

    Attributes:
        index: (vocabulary,), place of a token among the time tokens, -1 for other tokens.
        ids: (times,), the time tokens in order.
        soft: (times, times), a target distribution a row.
    """

    index: Tensor
    ids: Tensor
    soft: Tensor

    @classmethod
    def gaussian(cls, ids: Sequence[int], vocab_size: int, sigma_steps: float) -> "TimeTargets":
        """Targets that fall off as a Gaussian of `sigma_steps` time steps."""
        tokens = torch.tensor(ids)
        index = torch.full((vocab_size,), -1)
        index[tokens] = torch.arange(len(tokens))
        place = torch.arange(len(tokens), dtype=torch.float32)
        soft = torch.exp(-0.5 * ((place[:, None] - place[None]) / sigma_steps) ** 2)
        return cls(index, tokens, soft / soft.sum(dim=1, keepdim=True))

    def token_weights(self, answer: Sequence[int], format_share: float = 0.15) -> tuple[float, ...] | None:
        """Weights that give an answer's time tokens all but `format_share`; None for an answer without times."""
        is_time = [bool(self.index[token] >= 0) for token in answer]
        times = sum(is_time)
        if not times or times == len(answer):
            return None
        rest = format_share / (len(answer) - times)
        return tuple((1 - format_share) / times if time else rest for time in is_time)


@dataclass(frozen=True)
class ClipRow:
    """A clip with its turns.

    Attributes:
        features: output of the frozen encoder, (frames, tokens of a frame, vision hidden size).
        prefix: token ids with placeholders for the vision tokens.
        turns: at least one.
    """

    features: Tensor
    prefix: list[int]
    turns: list[Turn] = field(default_factory=list)


@dataclass(frozen=True)
class TreeLayout:
    """Where the suffixes of a row are: passed to the attention function as a forward keyword."""

    prefix_length: int
    causal: Tensor
    """bool (prefix tokens, prefix tokens), lower triangle."""
    visible: Tensor
    """bool (suffix tokens, prefix + suffix tokens): True where a suffix token may look."""


@dataclass(frozen=True)
class AnswerLosses:
    """Cross-entropy of every answer token of some rows.

    Attributes:
        per_token: (answer tokens,), with gradient.
        token_weight: (answer tokens,), sums to 1 within each turn.
        turn: (answer tokens,), number of the turn, counted over all rows.
        weight: (turns,).
        logits: (answer tokens, vocabulary), detached users only.
        target: (answer tokens,).
    """

    per_token: Tensor
    token_weight: Tensor
    turn: Tensor
    weight: Tensor
    logits: Tensor
    target: Tensor

    def mean_over_tokens(self) -> Tensor:
        """Sum over answer tokens divided by their number (weights ignored): the usual fine-tuning loss."""
        return self.per_token.mean()

    def mean_over_turns(self) -> Tensor:
        """Weighted mean over turns of the mean over each turn's tokens: short answers count as much as long ones."""
        return self.per_turn().mul(self.weight).sum() / self.weight.sum()

    def per_turn(self) -> Tensor:
        """Loss of each turn: the weighted mean over its tokens, (turns,)."""
        total = self.per_token.new_zeros(len(self.weight))
        return total.index_add(0, self.turn, self.per_token * self.token_weight)


def _tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: TreeLayout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside the prefix; a small masked one for the suffixes. Shapes as in transformers' sdpa."""
    if tree is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, None
    split = tree.prefix_length
    prefix = attend(query[:, :, :split], key[:, :, :split], value[:, :, :split], tree.causal, scaling)
    suffix = attend(query[:, :, split:], key, value, tree.visible, scaling)
    return torch.cat([prefix, suffix], dim=2).transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, _tree_attention)


@dataclass(frozen=True)
class PackedRow:
    """A row as tensors: ids, positions and targets of length prefix + suffixes, and the turn of every suffix token."""

    ids: Tensor
    positions: Tensor
    targets: Tensor
    turn: Tensor
    tree: TreeLayout

    @property
    def asked(self) -> Tensor:
        """Positions that predict an answer token, in order: the token before each."""
        return torch.nonzero(self.targets[1:] != _IGNORED)[:, 0]


def pack(row: ClipRow) -> PackedRow:
    """Lay a clip and its turns out as one row. ValueError without turns or with an empty answer."""
    if not row.turns or any(not turn.answer for turn in row.turns):
        raise ValueError("a row needs at least one turn, and every turn an answer")
    length = len(row.prefix)
    ids, positions, targets, turns = list(row.prefix), list(range(length)), [_IGNORED] * length, [-1] * length
    for number, turn in enumerate(row.turns):
        suffix = turn.question + turn.answer
        ids += suffix
        positions += range(length, length + len(suffix))
        targets += [_IGNORED] * len(turn.question) + turn.answer
        turns += [number] * len(suffix)
    owner = torch.tensor(turns[length:])
    order = torch.arange(len(owner))
    own = (owner[:, None] == owner[None]) & (order[:, None] >= order[None])
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = torch.cat([torch.ones(len(owner), length, dtype=torch.bool), own], dim=1)
    return PackedRow(
        torch.tensor(ids),
        torch.tensor(positions),
        torch.tensor(targets),
        torch.tensor(turns),
        TreeLayout(length, causal, visible),
    )


def embed_prefix(model: nn.Module, ids: Tensor, features: Tensor) -> Tensor:
    """Embeddings of ids (tokens,) with the placeholders replaced by projected features: (tokens, hidden).

    Raises:
        ValueError: the number of placeholders is not the number of vision tokens.
    """
    core = core_model(model)
    embeddings: Tensor = core.model.language_model.embed_tokens(ids)
    is_video = ids == core.config.video_token_id
    vision: Tensor = core.model.projector(features.reshape(-1, features.shape[-1]))
    if int(is_video.sum()) != len(vision):
        raise ValueError(f"{int(is_video.sum())} placeholders for {len(vision)} vision tokens")
    return embeddings.masked_scatter(is_video[:, None], vision.to(embeddings.dtype))


def answer_states(model: nn.Module, row: ClipRow) -> tuple[Tensor, PackedRow]:
    """Last hidden states at the positions that predict an answer token, (answer tokens, hidden), and the packed row.

    The last layer runs at these positions alone: nothing reads what it would write anywhere else.
    """
    packed = pack(row)
    text = core_model(model).model.language_model
    states: Tensor = embed_prefix(model, packed.ids, row.features)[None]
    rotary = text.rotary_emb(states, packed.positions[None])
    with text_attention(model, ATTENTION_NAME):
        for layer in text.layers[:-1]:
            states = layer(states, position_embeddings=rotary, tree=packed.tree)
    answers: Tensor = text.norm(_last_layer(text.layers[-1], states, packed.asked, rotary, packed.tree))[0]
    return answers, packed


def _last_layer(layer: Any, states: Tensor, asked: Tensor, rotary: tuple[Tensor, Tensor], tree: TreeLayout) -> Tensor:
    """A decoder layer of transformers' Qwen2 with queries at some suffix positions only: (1, asked, hidden)."""
    attention = layer.self_attn
    normed = layer.input_layernorm(states)
    query, key, value = (
        projection(part).view(1, part.shape[1], -1, attention.head_dim).transpose(1, 2)
        for projection, part in (
            (attention.q_proj, normed[:, asked]),
            (attention.k_proj, normed),
            (attention.v_proj, normed),
        )
    )
    cos, sin = (part[:, None] for part in rotary)  # the same for all heads
    query = query * cos[:, :, asked] + rotate_half(query) * sin[:, :, asked]
    key = key * cos + rotate_half(key) * sin
    mixed = attend(query, key, value, tree.visible[asked - tree.prefix_length], attention.scaling)
    states = states[:, asked] + attention.o_proj(mixed.transpose(1, 2).reshape(1, len(asked), -1))
    after: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
    return after


def answer_losses(model: nn.Module, rows: Sequence[ClipRow], time_targets: TimeTargets | None = None) -> AnswerLosses:
    """Cross-entropy of the answer tokens of some clips; the head runs on the answer positions alone.

    The gradient with respect to LoRA and projector equals that of one separate sample for every turn.

    Args:
        model: base or PEFT model, the trained branch active.
        rows: clips with their turns.
        time_targets: ordinal soft targets for time tokens; without them every target is one token.
    """
    core = core_model(model)
    answers, targets, turns, offset = [], [], [], 0
    for row in rows:
        states, packed = answer_states(model, row)
        answers.append(states)
        targets.append(packed.targets[packed.asked + 1])
        turns.append(packed.turn[packed.asked + 1] + offset)
        offset += len(row.turns)
    logits: Tensor = core.lm_head(torch.cat(answers)).float()
    target = torch.cat(targets)
    return AnswerLosses(
        per_token=_token_losses(logits, target, time_targets),
        token_weight=torch.cat([_token_weights(turn) for row in rows for turn in row.turns]),
        turn=torch.cat(turns),
        weight=torch.tensor([turn.weight for row in rows for turn in row.turns]),
        logits=logits,
        target=target,
    )


def _token_losses(logits: Tensor, target: Tensor, time_targets: TimeTargets | None) -> Tensor:
    if time_targets is None:
        return functional.cross_entropy(logits, target, reduction="none")
    log_probabilities = functional.log_softmax(logits, dim=-1)
    hard = -log_probabilities.gather(1, target[:, None])[:, 0]
    place = time_targets.index[target]
    soft = -(log_probabilities[:, time_targets.ids] * time_targets.soft[place.clamp(min=0)]).sum(dim=1)
    return torch.where(place >= 0, soft, hard)


def _token_weights(turn: Turn) -> Tensor:
    weights = torch.tensor(turn.token_weights or [1.0] * len(turn.answer))
    if len(weights) != len(turn.answer):
        raise ValueError(f"{len(weights)} token weights for an answer of {len(turn.answer)} tokens")
    return weights / weights.sum()
