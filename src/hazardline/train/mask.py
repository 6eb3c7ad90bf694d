"""Who may see whom in a packed row: `[clip | turn 1 | ... | turn k | next clip | ...]`.

A token sees the tokens before it of its own clip and of its own turn. Turn tokens are few and clip tokens many, so the
full square is never made: a clip is causal within itself, and a small mask says what its turns see.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hazardline.vlm.attention import attend

BackEnd = Literal["sdpa", "flex"]
ATTENTION_NAMES: dict[BackEnd, str] = {"sdpa": "hazardline_tree", "flex": "hazardline_tree_flex"}
"""Names in transformers' registry of attention functions. They build no mask: decoding with a cache uses `sdpa`."""


@dataclass(frozen=True)
class ClipSpan:
    """Where one clip and its turns lie in a row, and what the turns see.

    Attributes:
        start: place of the clip's first token.
        turns_start: place of the first turn's first token.
        owner: number of the turn of every turn token within the clip, (turn tokens,).
        visible: bool (turn tokens, clip and turn tokens), True where a turn token may look.
    """

    start: int
    turns_start: int
    owner: Tensor
    visible: Tensor

    @property
    def end(self) -> int:
        """Place after the last turn's last token."""
        return self.turns_start + len(self.visible)


@dataclass(frozen=True)
class TreeMask:
    """The spans of a row, in order: passed to the attention function as a forward keyword."""

    spans: tuple[ClipSpan, ...]
    blocks: dict[str, Any] = field(default_factory=dict, compare=False)
    """What FlexAttention has made of it, once for all layers."""

    def to(self, device: torch.device) -> "TreeMask":
        """The mask on a device."""
        return TreeMask(
            tuple(
                ClipSpan(span.start, span.turns_start, span.owner.to(device), span.visible.to(device))
                for span in self.spans
            )
        )


def clip_span(start: int, prefix_length: int, turn_lengths: Sequence[int]) -> ClipSpan:
    """The span of a clip whose first token is at `start`."""
    owner = torch.repeat_interleave(torch.arange(len(turn_lengths)), torch.tensor(list(turn_lengths)))
    order = torch.arange(len(owner))
    own = (owner[:, None] == owner[None]) & (order[:, None] >= order[None])
    clip = torch.ones(len(owner), prefix_length, dtype=torch.bool)
    return ClipSpan(start, start + prefix_length, owner, torch.cat([clip, own], dim=1))


def tree_attention(query: Tensor, key: Tensor, value: Tensor, mask: TreeMask, scale: float | None) -> Tensor:
    """Attention of a whole row by torch's `scaled_dot_product_attention`.

    All of shape (1, heads, tokens, head size), key and value perhaps of fewer heads.
    """
    parts = []
    for span in mask.spans:
        clip, turns, both = (
            slice(span.start, span.turns_start),
            slice(span.turns_start, span.end),
            slice(span.start, span.end),
        )
        parts.append(attend(query[:, :, clip], key[:, :, clip], value[:, :, clip], None, scale, is_causal=True))
        parts.append(attend(query[:, :, turns], key[:, :, both], value[:, :, both], span.visible, scale))
    return torch.cat(parts, dim=2)


def answer_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: TreeMask, asked: Tensor, scale: float | None
) -> Tensor:
    """Attention of some turn tokens only, by torch's `scaled_dot_product_attention`.

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


def attend_row(
    name: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: TreeMask,
    asked: Tensor | None,
    scale: float | None,
) -> Tensor:
    """Attention of a row, or of the queries at the places `asked`, by the back end of a registered name."""
    if name == ATTENTION_NAMES["flex"]:
        from hazardline.train.flex import flex_tree_attention

        return flex_tree_attention(query, key, value, mask, asked, scale)
    if asked is None:
        return tree_attention(query, key, value, mask, scale)
    return answer_attention(query, key, value, mask, asked, scale)


def _attention_function(
    module: Any,
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
    name = module.config._attn_implementation
    return attend_row(name, query, key, value, tree, None, scaling).transpose(1, 2).contiguous(), None


for _name in ATTENTION_NAMES.values():
    ALL_ATTENTION_FUNCTIONS.register(_name, _attention_function)
