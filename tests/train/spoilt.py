"""Packed rows as other trainers would make them: each must be caught."""

from dataclasses import replace

import torch

from hazardline.train.mask import ClipSpan, TreeMask
from hazardline.train.packed import PackedRow


def leak(packed: PackedRow) -> PackedRow:
    """Turns see the turns before them."""

    def open_up(span: ClipSpan) -> ClipSpan:
        count = len(span.visible)
        seen = torch.cat([span.visible[:, :-count], torch.ones(count, count, dtype=torch.bool).tril()], dim=1)
        return replace(span, visible=seen)

    return replace(packed, mask=TreeMask(tuple(open_up(span) for span in packed.mask.spans)))


def run_on(packed: PackedRow) -> PackedRow:
    """A turn begins where the one before it ended."""
    begin = packed.mask.spans[0].turns_start
    further = packed.positions[..., begin : begin + 1] + torch.arange(packed.positions.shape[-1] - begin)
    return replace(packed, positions=torch.cat([packed.positions[..., :begin], further], dim=-1))


def concatenate(packed: PackedRow) -> PackedRow:
    """A conversation of several turns, as other trainers pack questions."""
    return run_on(leak(packed))
