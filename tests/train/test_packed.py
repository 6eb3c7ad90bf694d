"""The packed row: its loss and gradient are those of separate native samples, and a wrong layout shows."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from hazardline.train import packed as engine
from hazardline.train.loss import TimeTargets, token_losses
from hazardline.train.packed import PackedRow, answer_losses, pack, use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import core_model, text_attention
from tests.train.spoilt import concatenate, leak, run_on
from tests.vlm.small import Scene, gradient, relative_error, separate_loss, small_branch, small_scene

UNEVEN = [(3, 1), (9, 14), (5, 4), (2, 7)]
LAYOUT = Layout(width_px=96, height_px=48, patch_px=12, merge=2)
TOLERANCE = 3e-6
"""Of a gradient, relative: what an ordinary padded batch differs by in fp32 (docs/adr/0003)."""


@pytest.fixture(params=["video_llama_3", "qwen2_vl"])
def model(request: pytest.FixtureRequest) -> PeftModel:
    return small_branch(request.param, LAYOUT)


def scene_of(model: PeftModel, lengths: list[tuple[int, int]], seed: int = 0) -> Scene:
    return small_scene(model, LAYOUT, lengths, seed)


def rows_of(scenes: list[Scene]) -> list[ClipRow]:
    return [scene.row for scene in scenes]


@pytest.mark.parametrize("lengths", [UNEVEN, [(4, 6)], [(2, 1), (2, 1)]], ids=["uneven", "one", "shortest"])
def test_loss_and_gradient_are_those_of_separate_samples(model: PeftModel, lengths: list[tuple[int, int]]) -> None:
    scene = scene_of(model, lengths)
    expected = separate_loss(model, [scene])
    packed = answer_losses(model, [scene.row]).mean_over_turns()
    assert float(packed.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert relative_error(gradient(model, packed), gradient(model, expected)) <= TOLERANCE


def test_several_clips_in_a_row_are_exact(model: PeftModel) -> None:
    scenes = [scene_of(model, UNEVEN), scene_of(model, [(2, 3)], seed=1), scene_of(model, [(1, 2), (6, 1)], seed=2)]
    packed = answer_losses(model, rows_of(scenes))
    expected = separate_loss(model, scenes)
    assert packed.weight.tolist() == [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 2.0]
    loss = packed.mean_over_turns()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert relative_error(gradient(model, loss), gradient(model, expected)) <= TOLERANCE


def test_images_are_exact() -> None:
    model = small_branch("qwen2_vl", LAYOUT)
    scene = small_scene(model, LAYOUT, UNEVEN, kind="image")
    expected, packed = separate_loss(model, [scene]), answer_losses(model, [scene.row]).mean_over_turns()
    assert relative_error(gradient(model, packed), gradient(model, expected)) <= TOLERANCE


def test_gradient_checkpointing_is_exact(model: PeftModel) -> None:
    scenes = [scene_of(model, UNEVEN), scene_of(model, [(2, 3)], seed=1)]
    expected = gradient(model, separate_loss(model, scenes))
    core_model(model).activation_checkpointing_enable()
    model.train()
    packed = answer_losses(model, rows_of(scenes)).mean_over_turns()
    assert relative_error(gradient(model, packed), expected) <= TOLERANCE


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_computes_the_same(model: PeftModel) -> None:
    """Forward only: FlexAttention has no backward pass on a CPU. tests/gpu compares the gradients."""
    rows = rows_of([scene_of(model, UNEVEN), scene_of(model, [(2, 3)], seed=1)])
    with torch.no_grad():
        expected = answer_losses(model, rows).per_token
        use_tree_attention(model, "flex")
        found = answer_losses(model, rows).per_token
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_double_precision_agrees_to_rounding(model: PeftModel) -> None:
    """What fp32 leaves over is rounding, not the method (RMSNorm computes in fp32, so a part of it stays)."""
    model.double()
    scene = small_scene(model, LAYOUT, UNEVEN)
    scene = replace(scene, media=replace(scene.media, patches=scene.media.patches.double()))
    scene = replace(scene, row=replace(scene.row, features=scene.row.features.double()))
    packed = answer_losses(model, [scene.row]).mean_over_turns()
    assert relative_error(gradient(model, packed), gradient(model, separate_loss(model, [scene]))) <= 3e-7


@pytest.mark.parametrize("spoil", [leak, run_on, concatenate])
def test_a_wrong_layout_shows_in_the_gradient(
    model: PeftModel, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[PackedRow], PackedRow]
) -> None:
    scene = scene_of(model, UNEVEN)
    expected = gradient(model, separate_loss(model, [scene]))
    monkeypatch.setattr(engine, "pack", lambda core, rows: spoil(pack(core, rows)))
    assert relative_error(gradient(model, answer_losses(model, [scene.row]).mean_over_turns()), expected) > 0.05


def test_a_model_that_would_ignore_the_tree_is_refused(model: PeftModel) -> None:
    scene = scene_of(model, UNEVEN)
    with text_attention(model, "sdpa"), pytest.raises(ValueError, match="use_tree_attention"):
        answer_losses(model, [scene.row])
    use_tree_attention(model)
    answer_losses(model, [scene.row])


def test_loss_over_tokens_counts_every_answer_token_once(model: PeftModel) -> None:
    row = scene_of(model, UNEVEN).row
    losses = answer_losses(model, [row])
    lengths = [len(turn.answer) for turn in row.turns]
    assert losses.turn.tolist() == [number for number, length in enumerate(lengths) for _ in range(length)]
    assert losses.target.tolist() == [token for turn in row.turns for token in turn.answer]
    per_token = losses.per_token.detach()
    assert float(losses.mean_over_tokens().detach()) == pytest.approx(float(per_token.sum()) / sum(lengths))


def test_token_weights_shift_a_turn(model: PeftModel) -> None:
    row = scene_of(model, [(3, 3)]).row
    plain = answer_losses(model, [row])
    weighted = answer_losses(model, [replace(row, turns=[replace(row.turns[0], token_weights=(0.0, 3.0, 1.0))])])
    expected = 0.75 * plain.per_token[1] + 0.25 * plain.per_token[2]
    assert float(weighted.per_turn()[0].detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    with pytest.raises(ValueError, match="2 token weights for an answer of 3 tokens"):
        answer_losses(model, [replace(row, turns=[replace(row.turns[0], token_weights=(1.0, 1.0))])])


def test_a_row_without_turns_or_with_missing_tokens_is_refused(model: PeftModel) -> None:
    row = scene_of(model, [(3, 3)]).row
    for turns in ([], [Turn([1], [])], [Turn([], [1])]):
        with pytest.raises(ValueError, match="at least one turn"):
            pack(core_model(model), [replace(row, turns=turns)])
    with pytest.raises(ValueError, match="placeholders for"):
        answer_losses(model, [replace(row, prefix=row.prefix[:-2] + row.prefix[-1:] * 2, features=row.features[:-4])])


def test_pieces_of_logits_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=False)
    states = torch.randn(11, 16, generator=generator, requires_grad=True)
    target = torch.randint(0, 50, (11,), generator=generator)
    times = TimeTargets.gaussian(range(10, 20), 50, sigma_steps=1.0)
    found = [token_losses(head, states, target, times, limit) for limit in (10_000, 3 * 50, 1)]
    gradients = [torch.autograd.grad(losses.square().sum(), states)[0] for losses, _ in found]
    for (losses, chosen), grad in zip(found[1:], gradients[1:], strict=True):
        torch.testing.assert_close(losses, found[0][0])
        assert torch.equal(chosen, found[0][1])
        torch.testing.assert_close(grad, gradients[0])


def test_time_targets_reach_the_neighbours_of_time_tokens_only() -> None:
    head = torch.nn.Linear(16, 50, bias=False)
    states = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    target, times = torch.tensor([3, 21, 4]), [20, 21, 22]
    soft_losses, _ = token_losses(head, states, target, TimeTargets.gaussian(times, 50, sigma_steps=1.0))
    plain, _ = token_losses(head, states, target, None)
    soft = torch.tensor([0.60653, 1.0, 0.60653])
    expected = -(soft / soft.sum() * head(states).log_softmax(-1)[1, times]).sum()
    assert float(soft_losses[1].detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert soft_losses[[0, 2]].tolist() == pytest.approx(plain[[0, 2]].tolist())
