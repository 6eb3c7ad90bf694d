"""White coordinates for the frozen encoder's features, in which a projector is trained.

The features vary by factors of a thousand between directions. A model that sees them raw answers every clip alike, and
an optimizer that steps on raw weights moves a few directions far and the others hardly at all. So a projector is
trained on white features, and the map is folded into its first layer whenever it is written: checkpoints and adapters
hold native weights that take native features.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hazardline.vlm.model import first_projection

WHITENING_NAME = "feature_whitening.safetensors"


@dataclass(frozen=True)
class Whitening:
    """`(features - mean) @ matrix` is white.

    Attributes:
        mean: (width,).
        matrix: (width, width), invertible.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def fit(cls, features: Tensor, floor: float = 2e-3) -> "Whitening":
        """From features (tokens, width); directions of less variance than `floor` are not blown up further."""
        values, directions = torch.linalg.eigh(torch.cov(features.double().T))
        matrix = directions * (values.clamp(min=0) + floor).rsqrt()
        return cls(features.double().mean(dim=0).float(), matrix.float().contiguous())

    @classmethod
    def load(cls, checkpoint: Path) -> "Whitening | None":
        """The map that a checkpoint was trained with; None where it has none."""
        path = checkpoint / WHITENING_NAME
        if not path.is_file():
            return None
        tensors = load_file(path)
        return cls(tensors["mean"], tensors["matrix"])

    def save(self, checkpoint: Path) -> None:
        """Write the map beside a checkpoint's weights."""
        save_file({"mean": self.mean, "matrix": self.matrix}, checkpoint / WHITENING_NAME)

    def __call__(self, features: Tensor) -> Tensor:
        """White features, the same shape."""
        return (features - self.mean) @ self.matrix

    def folded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of a linear layer on raw features that does what the given one does on white ones."""
        raw = weight @ self.matrix.T
        return raw, bias - raw @ self.mean

    def unfolded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `folded`."""
        white = torch.linalg.solve(self.matrix.double(), weight.double().T).T.float()
        return white.contiguous(), bias + weight @ self.mean


def enter_white(model: nn.Module, whitening: Whitening) -> None:
    """Rewrite the active projector so that it takes white features."""
    _rewrite(model, whitening.unfolded)


@contextmanager
def native_weights(model: nn.Module, whitening: Whitening | None) -> Iterator[None]:
    """Let a projector in white coordinates hold the native weights for a block; its own come back after."""
    if whitening is None:
        yield
        return
    first = first_projection(model)
    kept = first.weight.detach().clone(), first.bias.detach().clone()
    _rewrite(model, whitening.folded)
    try:
        yield
    finally:
        with torch.no_grad():
            first.weight.copy_(kept[0])
            first.bias.copy_(kept[1])


def _rewrite(model: nn.Module, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    first = first_projection(model)
    with torch.no_grad():
        weight, bias = change(first.weight, first.bias)
        first.weight.copy_(weight)
        first.bias.copy_(bias)
