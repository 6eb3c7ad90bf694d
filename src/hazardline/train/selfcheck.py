"""Before anything is trained: one packed step against the model's own forward pass, one sample a question.

The packed step uses cached features, a batched encoder, one row for all questions and logits of answers alone. Each of
these is compared with transformers' native path from pixels to logits, in fp32 and without dropout, so that a new
version of a library that breaks one of them stops the run instead of spoiling it (reference: docs/adr/0003). A base in
bf16 is widened to fp32 for the comparison, and narrowed again without loss.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hazardline.train.document import SelfCheck
from hazardline.train.packed import answer_losses
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.family import family_of, placeholder_ids
from hazardline.vlm.layout import Layout
from hazardline.vlm.media import Media
from hazardline.vlm.model import core_model, encode, text_attention

MAX_FRAMES = 8
"""Frames of the clip that the check looks at: the comparison does not depend on the length."""
_PROBE_STD = 0.02
"""Fresh LoRA has a zero factor and so no gradient in the other one: the check moves both away from zero."""


def self_check(model: nn.Module, clip_id: str, row: ClipRow, patches: Tensor, layout: Layout) -> SelfCheck:
    """Compare one clip's packed step with separate native samples from pixels.

    Args:
        model: PEFT model with the trained branch active; its weights are changed for the check and put back.
        clip_id: for the report.
        row: the plain clip with its cached features and all its turns.
        patches: the clip's patches in fp32, (frames, patches, patch size).
        layout: of the base.
    """
    num_frames = min(MAX_FRAMES, len(row.features))
    short, patches = _first_frames(row, num_frames, layout, model), patches[:num_frames]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with _in_fp32(model), _evaluation(model), _moved(parameters):
        native = _native_features(model, patches, layout)
        batched = _batched_features(model, patches, layout)
        packed = answer_losses(model, [ClipRow(native, short.prefix, short.turns, short.grids)]).mean_over_turns()
        packed_gradient = torch.autograd.grad(packed, parameters)
        separate = _separate_loss(model, short, patches, layout)
        separate_gradient = torch.autograd.grad(separate, parameters)
    return SelfCheck(
        clip_id=clip_id,
        num_frames=num_frames,
        num_turns=len(row.turns),
        features=_difference([short.features], [native]),
        encoder=_difference([batched], [native]),
        loss=_difference([packed.detach()], [separate.detach()]),
        gradient=_difference(packed_gradient, separate_gradient),
    )


def _first_frames(row: ClipRow, num_frames: int, layout: Layout, model: nn.Module) -> ClipRow:
    """The row without its later frames: the prefix is cut after the last kept frame."""
    placeholders = placeholder_ids(core_model(model))
    places = [place for place, token in enumerate(row.prefix) if token in placeholders]
    kept = num_frames * layout.tokens_per_frame
    if kept == len(places):
        return row
    # the next frame's time tag, where it stands before the frame, stays: it harms no comparison
    return ClipRow(row.features[:num_frames], row.prefix[: places[kept]], row.turns, layout.grids(num_frames))


def _media(patches: Tensor, layout: Layout) -> Media:
    return Media(patches.flatten(0, 1), layout.grids(len(patches)), layout.merge, layout.media)


@torch.no_grad()
def _native_features(model: nn.Module, patches: Tensor, layout: Layout) -> Tensor:
    core = core_model(model)
    states = family_of(core).native_features(core, _media(patches, layout))
    return states.view(len(patches), layout.features_per_frame, -1)


@torch.no_grad()
def _batched_features(model: nn.Module, patches: Tensor, layout: Layout) -> Tensor:
    return encode(model, patches.to(core_model(model).device), layout.grid, layout.merge)


def _separate_loss(model: nn.Module, row: ClipRow, patches: Tensor, layout: Layout) -> Tensor:
    """Weighted mean over turns; every turn is a sample of its own, from pixels, with the logits of all positions."""
    total = sum(turn.weight * _native_turn_loss(model, row.prefix, turn, patches, layout) for turn in row.turns)
    assert isinstance(total, Tensor)
    return total / sum(turn.weight for turn in row.turns)


def _native_turn_loss(model: nn.Module, prefix: list[int], turn: Turn, patches: Tensor, layout: Layout) -> Tensor:
    core = core_model(model)
    inputs = family_of(core).native_inputs(core, [*prefix, *turn.question, *turn.answer], _media(patches, layout))
    with text_attention(model, "sdpa"):
        logits: Tensor = core(**inputs, use_cache=False).logits[0]
    length = len(turn.answer)
    target = torch.tensor(turn.answer, device=logits.device)
    per_token = functional.cross_entropy(logits[-length - 1 : -1].float(), target, reduction="none")
    weights = torch.tensor(turn.token_weights or [1.0] * length, device=logits.device)
    return (per_token * weights / weights.sum()).sum()


@contextmanager
def _in_fp32(model: nn.Module) -> Iterator[None]:
    """Hold bf16 weights in fp32 for the length of a block; products of four-bit layers are computed in fp32 too."""
    narrow = [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.dtype == torch.bfloat16]
    layers: list[Any] = [module for module in model.modules() if hasattr(module, "compute_dtype")]
    dtypes = [layer.compute_dtype for layer in layers]
    try:
        for tensor in narrow:
            tensor.data = tensor.data.float()
        for layer in layers:
            layer.compute_dtype = torch.float32
        yield
    finally:
        for tensor in narrow:
            tensor.data = tensor.data.bfloat16()
        for layer, dtype in zip(layers, dtypes, strict=True):
            layer.compute_dtype = dtype


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def _moved(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Add small noise to parameters for the length of a block."""
    held = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(_PROBE_STD * torch.randn(parameter.shape, generator=generator).to(parameter.device))
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(parameters, held, strict=True):
                parameter.copy_(before)


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Norm of the difference over the norm of what is expected, all tensors as one vector."""
    pairs = zip(found, expected, strict=True)
    apart = sum(float((one.cpu().double() - other.cpu().double()).square().sum()) for one, other in pairs)
    size = sum(float(other.double().square().sum()) for other in expected)
    return float((apart / size) ** 0.5) if size else float("inf")
