"""Exact shared-prefix training: several clips with all their questions in one row, and the losses of their answers.

The gradient is that of a separate sample for every question (docs/adr/0003): a test holds it, and every run compares
one row with separate samples before it trains (`selfcheck.py`). What makes up a row stands in `prefix.py`, `mask.py`
and `positions.py`, what is minimised in `loss.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import rotate_half

from hazardline.train.loss import AnswerLosses, TimeTargets, token_losses, token_weights
from hazardline.train.mask import ATTENTION_NAMES, BackEnd, TreeMask, attend_row, clip_span
from hazardline.train.positions import row_positions
from hazardline.train.prefix import ClipRow
from hazardline.vlm.model import core_model, embed

_IGNORED = -100


@dataclass(frozen=True)
class PackedRow:
    """A row as tensors.

    Attributes:
        ids: (tokens,).
        positions: (..., 1, tokens), as the family counts them.
        targets: (tokens,), an answer's tokens at their places, -100 elsewhere.
        turn: (tokens,), number of the turn counted over all clips, -1 in a clip.
        mask: who sees whom.
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    turn: Tensor
    mask: TreeMask

    def to(self, device: torch.device) -> "PackedRow":
        """The row on a device."""
        if device == self.ids.device:
            return self
        ids, positions, targets, turn = (
            part.to(device) for part in (self.ids, self.positions, self.targets, self.turn)
        )
        return PackedRow(ids, positions, targets, turn, self.mask.to(device))

    @property
    def asked(self) -> Tensor:
        """Places that predict an answer token, in order: the token before each."""
        return torch.nonzero(self.targets[1:] != _IGNORED)[:, 0]


def pack(core: Any, rows: Sequence[ClipRow]) -> PackedRow:
    """Lay clips and their turns out as one row.

    Raises:
        ValueError: a clip has no turn, or a turn lacks a question or an answer.
    """
    ids: list[int] = []
    targets: list[int] = []
    turns: list[int] = []
    spans = []
    num_turns = 0
    for row in rows:
        if not row.turns or any(not turn.question or not turn.answer for turn in row.turns):
            raise ValueError("a row needs at least one turn, and every turn a question and an answer")
        lengths = [len(turn.question) + len(turn.answer) for turn in row.turns]
        spans.append(clip_span(len(ids), len(row.prefix), lengths))
        ids += row.prefix
        targets += [_IGNORED] * len(row.prefix)
        turns += [-1] * len(row.prefix)
        for turn in row.turns:
            ids += turn.question + turn.answer
            targets += [_IGNORED] * len(turn.question) + turn.answer
            turns += [num_turns] * (len(turn.question) + len(turn.answer))
            num_turns += 1
    return PackedRow(
        torch.tensor(ids),
        torch.cat([row_positions(core, row) for row in rows], dim=-1),
        torch.tensor(targets),
        torch.tensor(turns),
        TreeMask(tuple(spans)),
    )


def use_tree_attention(model: nn.Module, back_end: BackEnd | None = None) -> None:
    """Make a model fit for packed rows.

    The attention function stays set: under gradient checkpointing the backward pass calls it again.

    Args:
        model: base or PEFT model.
        back_end: of attention; by default `flex` on CUDA (`flex.py` says why) and `sdpa` elsewhere.
    """
    core = core_model(model)
    chosen: BackEnd = back_end or ("flex" if core.device.type == "cuda" else "sdpa")
    core.model.language_model.config._attn_implementation = ATTENTION_NAMES[chosen]


def answer_states(model: nn.Module, rows: Sequence[ClipRow]) -> tuple[Tensor, PackedRow]:
    """Last hidden states at the places that predict an answer token, (answer tokens, hidden), and the packed row.

    The last layer runs at these places alone: nothing reads what it would write anywhere else.
    """
    core = core_model(model)
    text = core.model.language_model
    if text.config._attn_implementation not in ATTENTION_NAMES.values():
        raise ValueError("packed rows need use_tree_attention(model)")
    packed = pack(core, rows).to(core.device)
    features = [row.features.reshape(-1, row.features.shape[-1]) for row in rows]
    vision = features[0] if len(features) == 1 else torch.cat(features)
    states: Tensor = embed(model, packed.ids, vision.to(core.device))[None]
    rotary = text.rotary_emb(states, packed.positions)
    for layer in text.layers[:-1]:
        states = layer(states, position_embeddings=rotary, tree=packed.mask)
    name = text.config._attn_implementation
    return text.norm(_last_layer(text.layers[-1], states, packed, rotary, name))[0], packed


def _last_layer(
    layer: Any, states: Tensor, packed: PackedRow, rotary: tuple[Tensor, Tensor], attention_name: str
) -> Tensor:
    """A decoder layer as transformers' Qwen2 and Qwen2-VL have it, with queries at asked places: (1, asked, hidden)."""
    asked = packed.asked
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
    mixed = attend_row(attention_name, query, key, value, packed.mask, asked, attention.scaling)
    states = states[:, asked] + attention.o_proj(mixed.transpose(1, 2).reshape(1, len(asked), -1))
    after: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
    return after


def answer_losses(model: nn.Module, rows: Sequence[ClipRow], time_targets: TimeTargets | None = None) -> AnswerLosses:
    """Cross-entropy of the answer tokens of some clips, which run as one row.

    The gradient with respect to LoRA and projector equals that of one separate sample for every turn.

    Args:
        model: base or PEFT model after `use_tree_attention`, the trained branch active.
        rows: clips with their turns.
        time_targets: ordinal soft targets for time tokens; without them every target is one token.
    """
    states, packed = answer_states(model, rows)
    target = packed.targets[packed.asked + 1]
    per_token, chosen = token_losses(core_model(model).lm_head, states, target, time_targets)
    turns = [turn for row in rows for turn in row.turns]
    return AnswerLosses(
        per_token=per_token,
        token_weight=torch.cat([token_weights(turn) for turn in turns]).to(per_token.device),
        turn=packed.turn[packed.asked + 1],
        weight=torch.tensor([turn.weight for turn in turns], device=per_token.device),
        target=target,
        chosen=chosen,
    )
