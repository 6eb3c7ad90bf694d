"""The written-out attention against torch's own, and against double precision."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hazardline.vlm.attention import attend

TOKENS, HEADS, GROUPS, SIZE = 48, 6, 2, 32


def inputs(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, heads, TOKENS, SIZE, generator=generator) for heads in (HEADS, GROUPS, GROUPS)]
    return [part.bfloat16().to(dtype).requires_grad_() for part in parts]


def results(dtype: torch.dtype, visible: Tensor | None, is_torch: bool = False) -> list[Tensor]:
    """Output and the gradients of query, key and value."""
    query, key, value = inputs(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        if is_torch:
            output = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, enable_gqa=True)
        else:
            output = attend(query, key, value, visible, None)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).bfloat16().to(dtype)
    output.backward(weights)
    assert query.grad is not None and key.grad is not None and value.grad is not None
    return [part.detach().double() for part in (output, query.grad, key.grad, value.grad)]


@pytest.mark.parametrize("visible", [None, torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()], ids=["all", "causal"])
def test_it_is_torchs_attention(visible: Tensor | None) -> None:
    for ours, torchs in zip(
        results(torch.float32, visible), results(torch.float32, visible, is_torch=True), strict=True
    ):
        torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_bfloat16_and_near_double_precision() -> None:
    visible = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
    exact, ours = results(torch.float64, visible), results(torch.bfloat16, visible)
    for part, true in zip(ours, exact, strict=True):
        assert float((part - true).norm() / true.norm()) < 0.01
    assert float((ours[0] - exact[0]).abs().max()) > 0  # it was computed in bfloat16 at all
