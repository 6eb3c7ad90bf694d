"""The written-out attention against torch's own, and against double precision."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hazardline.vlm import attention
from hazardline.vlm.attention import attend

TOKENS, HEADS, GROUPS, SIZE = 48, 6, 2, 32


def inputs(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, heads, TOKENS, SIZE, generator=generator) for heads in (HEADS, GROUPS, GROUPS)]
    return [part.bfloat16().to(dtype).requires_grad_() for part in parts]


def results(
    dtype: torch.dtype, visible: Tensor | None, is_torch: bool = False, is_causal: bool = False
) -> list[Tensor]:
    """Output and the gradients of query, key and value."""
    query, key, value = inputs(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        if is_torch:
            output = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=visible, is_causal=is_causal, enable_gqa=True
            )
        else:
            output = attend(query, key, value, visible, None, is_causal)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).bfloat16().to(dtype)
    output.backward(weights)
    assert query.grad is not None and key.grad is not None and value.grad is not None
    return [part.detach().double() for part in (output, query.grad, key.grad, value.grad)]


CAUSAL = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()


@pytest.mark.parametrize(("visible", "is_causal"), [(None, False), (CAUSAL, False), (None, True)])
def test_written_out_products_are_as_near_to_the_truth_as_torchs_kernel(
    visible: Tensor | None, is_causal: bool
) -> None:
    exact = results(torch.float64, visible, is_torch=True, is_causal=is_causal)
    ours = results(torch.bfloat16, visible, is_causal=is_causal)
    torchs = results(torch.bfloat16, visible, is_torch=True, is_causal=is_causal)
    for part, kernel, true in zip(ours, torchs, exact, strict=True):
        error = float((part - true).norm() / true.norm())
        assert 0 < error < 0.01 and error < 2 * float((kernel - true).norm() / true.norm())


def test_a_place_to_look_up_to_is_the_lower_triangle() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        for one, other in zip(results(dtype, CAUSAL), results(dtype, None, is_causal=True), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_kernels_take_over_where_scores_are_many_or_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[torch.dtype] = []
    kernel = functional.scaled_dot_product_attention

    def watched(query: Tensor, *values: Tensor, **keywords: Any) -> Tensor:
        called.append(query.dtype)
        return kernel(query, *values, **keywords)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    results(torch.bfloat16, None)
    assert called == []
    results(torch.float32, None)
    monkeypatch.setattr(attention, "_MAX_EXPLICIT_SCORES", HEADS * TOKENS**2 - 1)
    results(torch.bfloat16, None)
    assert called == [torch.float32, torch.bfloat16]
