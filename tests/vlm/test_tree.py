"""The packed row: its loss and gradient are those of separate native samples, and a wrong layout shows."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from hazardline.vlm import tree
from hazardline.vlm.layout import Layout
from hazardline.vlm.tree import ClipRow, PackedRow, TimeTargets, Turn, answer_losses, pack
from tests.vlm.small import (
    gradient,
    native_features,
    random_patches,
    random_prefix,
    random_turns,
    relative_error,
    separate_loss,
)

UNEVEN = [(3, 1), (9, 14), (5, 4), (2, 7)]


def make_row(model: PeftModel, layout: Layout, lengths: list[tuple[int, int]]) -> tuple[ClipRow, torch.Tensor]:
    patches = random_patches(layout)
    return ClipRow(native_features(model, patches, layout), random_prefix(layout), random_turns(lengths)), patches


@pytest.mark.parametrize("lengths", [UNEVEN, [(4, 6)], [(2, 1), (2, 1)]], ids=["uneven", "one", "shortest"])
def test_loss_and_gradient_are_those_of_separate_samples(
    branch: PeftModel, layout: Layout, lengths: list[tuple[int, int]]
) -> None:
    row, patches = make_row(branch, layout, lengths)
    expected = separate_loss(branch, row, patches, layout)
    packed = answer_losses(branch, [row]).mean_over_turns()
    assert float(packed.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert relative_error(gradient(branch, packed), gradient(branch, expected)) <= 3e-6


def test_several_clips_are_independent(branch: PeftModel, layout: Layout) -> None:
    row, _ = make_row(branch, layout, UNEVEN)
    other = ClipRow(row.features.flip(0), row.prefix, random_turns([(2, 3)], seed=5))
    both = answer_losses(branch, [row, other])
    alone = [answer_losses(branch, [one]).per_turn() for one in (row, other)]
    torch.testing.assert_close(both.per_turn(), torch.cat(alone))
    assert both.weight.tolist() == [1.0, 2.0, 3.0, 4.0, 1.0]


def leak(packed: PackedRow) -> PackedRow:
    count = packed.tree.visible.shape[0]
    seen = torch.cat([packed.tree.visible[:, :-count], torch.ones(count, count, dtype=torch.bool).tril()], dim=1)
    return replace(packed, tree=replace(packed.tree, visible=seen))


def run_on(packed: PackedRow) -> PackedRow:
    return replace(packed, positions=torch.arange(len(packed.positions)))


def concatenate(packed: PackedRow) -> PackedRow:
    return run_on(leak(packed))


@pytest.mark.parametrize("spoil", [leak, run_on, concatenate])
def test_a_wrong_layout_shows_in_the_gradient(
    branch: PeftModel, layout: Layout, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[PackedRow], PackedRow]
) -> None:
    row, patches = make_row(branch, layout, UNEVEN)
    expected = gradient(branch, separate_loss(branch, row, patches, layout))
    monkeypatch.setattr(tree, "pack", lambda row: spoil(pack(row)))
    assert relative_error(gradient(branch, answer_losses(branch, [row]).mean_over_turns()), expected) > 0.05


def test_loss_over_tokens_counts_every_answer_token_once(branch: PeftModel, layout: Layout) -> None:
    row, _ = make_row(branch, layout, UNEVEN)
    losses = answer_losses(branch, [row])
    lengths = [len(turn.answer) for turn in row.turns]
    assert losses.turn.tolist() == [number for number, length in enumerate(lengths) for _ in range(length)]
    assert losses.target.tolist() == [token for turn in row.turns for token in turn.answer]
    per_token = losses.per_token.detach()
    assert float(losses.mean_over_tokens().detach()) == pytest.approx(float(per_token.sum()) / sum(lengths))


def test_token_weights_shift_a_turn(branch: PeftModel, layout: Layout) -> None:
    row, _ = make_row(branch, layout, [(3, 3)])
    plain = answer_losses(branch, [row])
    weighted = answer_losses(branch, [replace(row, turns=[replace(row.turns[0], token_weights=(0.0, 3.0, 1.0))])])
    expected = 0.75 * plain.per_token[1] + 0.25 * plain.per_token[2]
    assert float(weighted.per_turn()[0].detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    with pytest.raises(ValueError, match="2 token weights for an answer of 3 tokens"):
        answer_losses(branch, [replace(row, turns=[replace(row.turns[0], token_weights=(1.0, 1.0))])])


def test_time_targets_reach_the_neighbours_of_time_tokens_only(branch: PeftModel, layout: Layout) -> None:
    row, _ = make_row(branch, layout, [(3, 3)])
    first, second, third = row.turns[0].answer
    times = [260, second, 270] if second not in (260, 270) else [261, second, 271]
    losses = answer_losses(branch, [row], TimeTargets.gaussian(times, 300, sigma_steps=1.0))
    plain = answer_losses(branch, [row])
    log_probabilities = plain.logits.log_softmax(-1)
    soft = torch.tensor([0.60653, 1.0, 0.60653])
    soft = soft / soft.sum()
    expected = -(soft * log_probabilities[1, times]).sum()
    assert float(losses.per_token[1].detach()) == pytest.approx(float(expected.detach()), rel=1e-3)
    assert losses.per_token[[0, 2]].tolist() == pytest.approx(plain.per_token[[0, 2]].tolist())
    assert first not in times and third not in times


def test_a_row_without_turns_or_with_missing_tokens_is_refused(branch: PeftModel, layout: Layout) -> None:
    row, _ = make_row(branch, layout, [(3, 3)])
    with pytest.raises(ValueError, match="at least one turn"):
        pack(replace(row, turns=[]))
    with pytest.raises(ValueError, match="at least one turn"):
        pack(replace(row, turns=[Turn([1], [])]))
    with pytest.raises(ValueError, match="placeholders for"):
        answer_losses(branch, [replace(row, features=row.features[:-1])])
