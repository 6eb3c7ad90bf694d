"""Who may see whom in a packed row: `[clip | turn 1 | ... | turn k | next clip | ...]`.

A token sees the tokens before it of its own clip and of its own turn. Turn tokens are few and clip tokens many, so the
full square is never made: a clip is causal within itself, and a small mask says what its turns see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hazardline.vlm.attention import attend

ATTENTION_NAME = "hazardline_tree"
"""Name in transformers' registry of attention functions. It has no mask builder: decoding with a cache uses `sdpa`."""


@dataclass(frozen=True)
class ClipSpan:
    """Where one clip and its turns lie in a row, and what the turns see.

    Attributes:
        start: place of the clip's first token.
        turns_start: place of the first turn's first token.
        visible: bool (turn tokens, clip and turn tokens), True where a turn token may look.
    """

    start: int
    turns_start: int
    visible: Tensor

    @property
    def end(self) -> int:
        """Place after the last turn's last token."""
        return self.turns_start + len(self.visible)

    @cached_property
    def causal(self) -> Tensor:
        """Bool (clip tokens, clip tokens), the lower triangle."""
        length = self.turns_start - self.start
        return torch.ones(length, length, dtype=torch.bool).tril()


@dataclass(frozen=True)
class TreeMask:
    """The spans of a row, in order: passed to the attention function as a forward keyword."""

    spans: tuple[ClipSpan, ...]


def clip_span(start: int, prefix_length: int, turn_lengths: Sequence[int]) -> ClipSpan:
    """The span of a clip whose first token is at `start`."""
    owner = torch.repeat_interleave(torch.arange(len(turn_lengths)), torch.tensor(list(turn_lengths)))
    order = torch.arange(len(owner))
    own = (owner[:, None] == owner[None]) & (order[:, None] >= order[None])
    clip = torch.ones(len(owner), prefix_length, dtype=torch.bool)
    return ClipSpan(start, start + prefix_length, torch.cat([clip, own], dim=1))


def tree_attention(query: Tensor, key: Tensor, value: Tensor, mask: TreeMask, scale: float | None) -> Tensor:
    """Attention of a whole row: (1, heads, tokens, head size), as are the arguments (fewer heads for key and value)."""
    parts = []
    for span in mask.spans:
        clip, turns, both = (
            slice(span.start, span.turns_start),
            slice(span.turns_start, span.end),
            slice(span.start, span.end),
        )
        parts.append(attend(query[:, :, clip], key[:, :, clip], value[:, :, clip], span.causal, scale))
        parts.append(attend(query[:, :, turns], key[:, :, both], value[:, :, both], span.visible, scale))
    return torch.cat(parts, dim=2)


def answer_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: TreeMask, asked: Tensor, scale: float | None
) -> Tensor:
    """Attention of some turn tokens only.

    Args:
        query: (1, heads, len(asked), head size).
        key: of the whole row, as is `value`.
        value: of the whole row.
        mask: of the row.
        asked: places of the query tokens in the row, in order.
        scale: factor on the scores.
    """
    parts, first = [], 0
    for span in mask.spans:
        last = int(torch.searchsorted(asked, span.end))
        both = slice(span.start, span.end)
        visible = span.visible[asked[first:last] - span.turns_start]
        parts.append(attend(query[:, :, first:last], key[:, :, both], value[:, :, both], visible, scale))
        first = last
    return torch.cat(parts, dim=2)


def _attention_function(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: TreeMask | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls. Without a tree it is `sdpa`."""
    if tree is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, None
    return tree_attention(query, key, value, tree, scaling).transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, _attention_function)
