"""Small models of both families and samples of them, for the tests of exactness."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional

from hazardline.pocket.architecture import TINY, build_model, build_qwen2_vl
from hazardline.train.packed import use_tree_attention
from hazardline.train.prefix import ClipRow, Turn
from hazardline.vlm.family import family_of
from hazardline.vlm.layout import Layout
from hazardline.vlm.media import Grid, Media
from hazardline.vlm.model import LoraSettings, add_branch, core_model, text_attention

VOCAB_SIZE = 300
IDS = {"pad": 0, "end": 2, "image": 3, "video": 4, "vision_start": 5, "vision_end": 6}
NUM_FRAMES = 5
_QWEN_PATCH_PX = 4


def spread_weights(model: nn.Module, std: float = 0.15) -> None:
    """Random weights large enough that attention is far from uniform: else a wrong mask would hardly show."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
            elif "norm" not in name:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))


def small_branch(kind: str, layout: Layout, dropout: float = 0.0) -> PeftModel:
    """A small `video_llama_3` or `qwen2_vl` with one active branch, all weights far from zero."""
    base: Any
    if kind == "qwen2_vl":
        base = build_qwen2_vl(TINY, _QWEN_PATCH_PX, VOCAB_SIZE, IDS, seed=1)
    else:
        base = build_model(TINY, layout, VOCAB_SIZE, IDS, seed=1)
    base.requires_grad_(False)
    model = add_branch(base, "linguistic", LoraSettings(rank=4, alpha=8, dropout=dropout))
    spread_weights(model)
    use_tree_attention(model)
    model.eval()
    return model


@dataclass(frozen=True)
class Scene:
    """A clip as a packed row has it (features) and as the native model has it (pixels)."""

    row: ClipRow
    media: Media


def small_scene(
    model: nn.Module, layout: Layout, lengths: Sequence[tuple[int, int]], seed: int = 0, kind: str = "video"
) -> Scene:
    """A clip of random pixels with turns of given question and answer lengths; another seed, another shape."""
    core = core_model(model)
    if core.config.model_type == "qwen2_vl":
        grids: tuple[Grid, ...] = ((1 if kind == "image" else 5 + seed % 2, 4, 2 * (2 + seed % 3)),)
        size, merge = 3 * 2 * _QWEN_PATCH_PX**2, 2
        tokens = grids[0][0] * grids[0][1] * grids[0][2] // merge**2
        prefix = [11, 12, IDS["vision_start"], *[IDS[kind]] * tokens, IDS["vision_end"], 13 + seed]
    else:
        num_frames = NUM_FRAMES + seed % 3
        grids, size, merge = ((num_frames, *layout.grid),), layout.patch_size, layout.merge
        prefix = random_prefix(layout, num_frames)
    count = grids[0][0] * grids[0][1] * grids[0][2]
    patches = torch.randn(count, size, generator=torch.Generator().manual_seed(100 + seed))
    media = Media(patches, grids, merge, "image" if kind == "image" else "video")
    with torch.no_grad():
        features = family_of(core).native_features(core, media)
    return Scene(ClipRow(features, prefix, random_turns(lengths, seed), grids), media)


def random_patches(layout: Layout, seed: int = 0, num_frames: int = NUM_FRAMES) -> Tensor:
    """Patches (frames, patches, patch size) of random pixels."""
    rows, columns = layout.grid
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_frames, rows * columns, layout.patch_size, generator=generator)


def grid(layout: Layout, num_frames: int = NUM_FRAMES) -> dict[str, Tensor]:
    """What VideoLLaMA3's native forward pass needs to know of the patches' shape."""
    return {
        "video_grid_thw": torch.tensor([[num_frames, *layout.grid]]),
        "video_merge_sizes": torch.tensor([layout.merge]),
    }


@torch.no_grad()
def native_features(model: nn.Module, patches: Tensor, layout: Layout) -> Tensor:
    """Output of transformers' own VideoLLaMA3 vision tower: (frames, tokens of a frame, width)."""
    core = core_model(model)
    media = Media(patches.flatten(0, 1), ((len(patches), *layout.grid),), layout.merge, "video")
    return family_of(core).native_features(core, media).view(len(patches), layout.tokens_per_frame, -1)


def random_prefix(layout: Layout, num_frames: int = NUM_FRAMES) -> list[int]:
    """Words, then for every frame its placeholders and a tag."""
    ids = [11, 12]
    for frame in range(num_frames):
        ids += [IDS["video"]] * layout.tokens_per_frame + [20 + frame]
    return ids


def random_turns(lengths: Sequence[tuple[int, int]], seed: int = 0) -> list[Turn]:
    """Turns of given question and answer lengths, with uneven weights."""
    generator = torch.Generator().manual_seed(seed)

    def ids(length: int) -> list[int]:
        found: list[int] = torch.randint(40, VOCAB_SIZE, (length,), generator=generator).tolist()
        return found

    return [Turn(ids(question), ids(answer), weight=1.0 + number) for number, (question, answer) in enumerate(lengths)]


def separate_loss(model: nn.Module, scenes: Sequence[Scene]) -> Tensor:
    """What a packed row must reproduce: every turn a sample of its own through the native model, from pixels."""
    core = core_model(model)
    total, weight = torch.zeros((), dtype=core.dtype, device=core.device), 0.0
    with text_attention(model, "sdpa"):
        for scene in scenes:
            for turn in scene.row.turns:
                ids = [*scene.row.prefix, *turn.question, *turn.answer]
                inputs = family_of(core).native_inputs(core, ids, scene.media)
                logits = core(**inputs, use_cache=False).logits[0]
                length = len(turn.answer)
                target = torch.tensor(turn.answer, device=core.device)
                total = total + turn.weight * functional.cross_entropy(logits[-length - 1 : -1], target)
                weight += turn.weight
    return total / weight


def with_turns(scene: Scene, turns: Sequence[Turn]) -> Scene:
    """The same clip with other turns."""
    return replace(scene, row=replace(scene.row, turns=list(turns)))


def gradient(model: PeftModel, loss: Tensor) -> Tensor:
    """Gradient of all trainable parameters as one vector."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, parameters)])


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())
