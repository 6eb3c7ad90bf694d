"""The loss of answers: cross-entropy at answer tokens alone, with the head's logits in pieces.

A vocabulary of 150 thousand tokens makes logits the largest tensor of a step, and most positions are no answer's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hazardline.train.prefix import Turn

LOGITS_PER_PIECE = 1 << 26
"""Largest number of logits that are held at once (256 MB in fp32)."""


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
class AnswerLosses:
    """Cross-entropy of every answer token of some rows.

    Attributes:
        per_token: (answer tokens,), with gradient.
        token_weight: (answer tokens,), sums to 1 within each turn.
        turn: (answer tokens,), number of the turn, counted over all rows.
        weight: (turns,).
        target: (answer tokens,).
        chosen: (answer tokens,), the likeliest token.
    """

    per_token: Tensor
    token_weight: Tensor
    turn: Tensor
    weight: Tensor
    target: Tensor
    chosen: Tensor

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


def token_losses(
    head: nn.Linear,
    states: Tensor,
    target: Tensor,
    time_targets: TimeTargets | None,
    logits_per_piece: int = LOGITS_PER_PIECE,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each answer token and the likeliest token, (tokens,) each.

    Args:
        head: the model's `lm_head`, called as a module (ZeRO-3 gathers its weight then).
        states: last hidden states that predict the tokens, (tokens, hidden).
        target: the tokens.
        time_targets: soft targets for time tokens.
        logits_per_piece: more logits than these are computed in pieces, and again in the backward pass.
    """
    count = max(1, logits_per_piece // head.out_features)
    if len(target) <= count:
        return _piece(head, states, target, time_targets)
    pieces = [
        checkpoint(_piece, head, part, wanted, time_targets, use_reentrant=False)
        for part, wanted in zip(states.split(count), target.split(count), strict=True)
    ]
    return torch.cat([loss for loss, _ in pieces]), torch.cat([chosen for _, chosen in pieces])


def _piece(head: nn.Linear, states: Tensor, target: Tensor, time_targets: TimeTargets | None) -> tuple[Tensor, Tensor]:
    logits: Tensor = head(states).float()
    chosen = logits.detach().argmax(dim=-1)
    if time_targets is None:
        return functional.cross_entropy(logits, target, reduction="none"), chosen
    log_probabilities = functional.log_softmax(logits, dim=-1)
    hard = -log_probabilities.gather(1, target[:, None])[:, 0]
    index, ids, soft_targets = (
        part.to(target.device) for part in (time_targets.index, time_targets.ids, time_targets.soft)
    )
    place = index[target]
    soft = -(log_probabilities[:, ids] * soft_targets[place.clamp(min=0)]).sum(dim=1)
    return torch.where(place >= 0, soft, hard), chosen


def token_weights(turn: Turn) -> Tensor:
    """Weights of an answer's tokens within the turn, summing to 1. ValueError for another number of weights."""
    weights = torch.tensor(turn.token_weights or [1.0] * len(turn.answer))
    if len(weights) != len(turn.answer):
        raise ValueError(f"{len(weights)} token weights for an answer of {len(turn.answer)} tokens")
    return weights / weights.sum()
