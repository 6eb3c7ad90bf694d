"""The mask of a packed row for torch's FlexAttention: one kernel a layer for the whole row, on CUDA.

Why not the alternatives there: variable-length flash attention has no way to say that many turns see one clip, so the
clip's keys would be copied for every turn; torch's `scaled_dot_product_attention` needs two calls a clip, which is many
small kernels for short clips. FlexAttention skips the blocks in which nothing is visible and stores no mask. It has no
backward pass on a CPU (torch 2.14), so a CPU uses `mask.tree_attention`; a test compares the two.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from hazardline.train.mask import TreeMask


def owners(mask: TreeMask, device: torch.device) -> tuple[Tensor, Tensor]:
    """Clip and turn of every token of a row, (tokens,) each; the turn is -1 in a clip."""
    clip, turn = [], []
    for number, span in enumerate(mask.spans):
        clip.append(torch.full((span.end - span.start,), number, device=device))
        turn += [torch.full((span.turns_start - span.start,), -1, device=device), span.owner.to(device)]
    return torch.cat(clip), torch.cat(turn)


def block_mask(mask: TreeMask, asked: Tensor | None, device: torch.device) -> BlockMask:
    """The row's mask for all tokens as queries, or for those at the places `asked`."""
    clip, turn = owners(mask, device)
    places = torch.arange(len(clip), device=device) if asked is None else asked.to(device)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = places[query]
        same_turn = (turn[key] == -1) | (turn[key] == turn[place])
        return (clip[key] == clip[place]) & same_turn & (key <= place)

    found: BlockMask = create_block_mask(sees, None, None, len(places), len(clip), device=device)
    return found


@cache
def _compiled() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=True)


def flex_tree_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: TreeMask, asked: Tensor | None, scale: float | None
) -> Tensor:
    """Attention of a whole row, or of the queries at `asked`; shapes as in `mask.tree_attention`."""
    if asked is None:
        if "all" not in mask.blocks:
            mask.blocks["all"] = block_mask(mask, None, query.device)
        blocks = mask.blocks["all"]
    else:
        blocks = block_mask(mask, asked, query.device)
    run: Any = _compiled() if query.is_cuda else flex_attention
    found: Tensor = run(query, key, value, block_mask=blocks, scale=scale, enable_gqa=query.shape[1] != key.shape[1])
    return found
