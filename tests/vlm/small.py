"""A small model and samples of it, for the tests of exactness."""

from collections.abc import Sequence

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional

from hazardline.vlm.layout import Layout
from hazardline.vlm.model import core_model
from hazardline.vlm.tree import ClipRow, Turn

VOCAB_SIZE = 300
IDS = {"pad": 0, "end": 2, "image": 3, "video": 4}
NUM_FRAMES = 5


def spread_weights(model: nn.Module, std: float = 0.15) -> None:
    """Random weights large enough that attention is far from uniform: else a wrong mask would hardly show."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
            elif "norm" not in name:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))


def random_patches(layout: Layout, seed: int = 0, num_frames: int = NUM_FRAMES) -> Tensor:
    """Patches (frames, patches, patch size) of random pixels."""
    rows, columns = layout.grid
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_frames, rows * columns, layout.patch_size, generator=generator)


def grid(layout: Layout, num_frames: int = NUM_FRAMES) -> dict[str, Tensor]:
    """What the native forward pass needs to know of the patches' shape."""
    return {
        "video_grid_thw": torch.tensor([[num_frames, *layout.grid]]),
        "video_merge_sizes": torch.tensor([layout.merge]),
    }


@torch.no_grad()
def native_features(model: nn.Module, patches: Tensor, layout: Layout) -> Tensor:
    """Output of transformers' own vision tower: (frames, tokens of a frame, width)."""
    shape = grid(layout, len(patches))
    states: Tensor = (
        core_model(model)
        .model.vision_model(
            pixel_values=patches.flatten(0, 1),
            grid_thw=shape["video_grid_thw"],
            merge_sizes=shape["video_merge_sizes"],
        )
        .last_hidden_state
    )
    return states.view(len(patches), layout.tokens_per_frame, -1)


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


def separate_loss(model: nn.Module, row: ClipRow, patches: Tensor, layout: Layout) -> Tensor:
    """What a packed row must reproduce: every turn a sample of its own through the native model, from pixels."""
    total = torch.zeros(())
    for turn in row.turns:
        ids = torch.tensor([[*row.prefix, *turn.question, *turn.answer]])
        logits = core_model(model)(
            input_ids=ids, pixel_values_videos=patches.flatten(0, 1), use_cache=False, **grid(layout, len(patches))
        ).logits[0]
        length = len(turn.answer)
        total = total + turn.weight * functional.cross_entropy(logits[-length - 1 : -1], ids[0, -length:])
    return total / sum(turn.weight for turn in row.turns)


def gradient(model: PeftModel, loss: Tensor) -> Tensor:
    """Gradient of all trainable parameters as one vector."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, parameters)])


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())
