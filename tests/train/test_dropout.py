"""Byte dropout drops the share it is asked to, keeps the mean, and repeats itself."""

import pytest
import torch
from torch import nn

from hazardline.train.dropout import ByteDropout, use_byte_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_mean(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    out = ByteDropout(0.25)(torch.ones(400, 501, dtype=dtype))
    assert out.dtype == dtype
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.005)
    assert float(out.float().mean()) == pytest.approx(1.0, abs=0.01)
    assert len(out.unique()) == 2


def test_elements_are_dropped_independently() -> None:
    torch.manual_seed(1)
    dropped = (ByteDropout(0.5)(torch.ones(80_000)) == 0).float().view(-1, 8)
    correlation = torch.corrcoef(dropped.T) - torch.eye(8)
    assert float(correlation.abs().max()) < 0.05
    assert dropped.mean(dim=0).tolist() == pytest.approx([0.5] * 8, abs=0.02)


def test_mask_follows_the_seed_and_passes_gradients() -> None:
    masks = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        inputs = torch.full((7, 9), 2.0, requires_grad=True)
        out = ByteDropout(0.3)(inputs)
        out.sum().backward()
        assert inputs.grad is not None
        torch.testing.assert_close(inputs.grad, out.detach() / 2)
        masks.append(out.detach())
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_nothing_is_dropped_in_evaluation_or_at_zero() -> None:
    inputs = torch.ones(100)
    assert ByteDropout(0.5).eval()(inputs) is inputs
    assert ByteDropout(0.001)(inputs) is inputs
    with pytest.raises(ValueError, match="less than 1"):
        ByteDropout(1.0)


def test_it_takes_the_place_of_torch_s_dropout() -> None:
    layer = nn.Module()
    layer.lora_dropout = nn.ModuleDict({"a": nn.Dropout(0.1), "b": nn.Identity()})
    use_byte_dropout(nn.Sequential(layer))
    assert isinstance(layer.lora_dropout["a"], ByteDropout) and isinstance(layer.lora_dropout["b"], nn.Identity)
