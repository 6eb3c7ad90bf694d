"""Positions in a packed row: every turn goes on where its clip ends, as if the other turns were not there."""

from typing import Any

import torch
from torch import Tensor

from hazardline.train.prefix import ClipRow
from hazardline.vlm.family import family_of


def row_positions(core: Any, row: ClipRow) -> Tensor:
    """Position ids of a clip and its turns, (..., 1, tokens).

    They are the native ones of each separate sample. Turns hold no vision tokens, so all of them begin at one position
    and count one by one: the positions of the longest turn hold those of every other. (Where a turn begins is the
    model's to say: under M-RoPE it is neither the number of tokens nor the largest position and one.)

    Args:
        core: model without its PEFT shell.
        row: clip, turns and grids.
    """
    longest = max(row.turns, key=lambda turn: len(turn.question) + len(turn.answer))
    sample = [*row.prefix, *longest.question, *longest.answer]
    native = family_of(core).positions(core, sample, row.grids)
    length = len(row.prefix)
    turns = [native[..., length : length + len(turn.question) + len(turn.answer)] for turn in row.turns]
    return torch.cat([native[..., :length], *turns], dim=-1)
