"""What an optimizer remembers, written and read: it goes on to the bit, also where moments have eight bits."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hazardline.train.updater import Replicas, make_optimizer, trainable

NUM_STEPS = 6
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


class Model(nn.Module):
    """Two layers that are large enough for moments in eight bits (4,096 weights), and a small one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(64, 96), nn.Linear(96, 64), nn.Linear(64, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.third(self.second(self.first(inputs).relu()).relu()).square().mean()
        return found


def learner(kind: str) -> tuple[Model, Replicas]:
    torch.manual_seed(0)
    model = Model()
    parameters = trainable(model)
    optimizer = make_optimizer(kind, list(parameters.values()), 1e-3, 0.01)
    return model, Replicas(parameters, optimizer, 1.0, lambda tensor: None)


def take(model: Model, updater: Replicas, step: int) -> float:
    inputs = torch.randn(8, 64, generator=torch.Generator().manual_seed(step))
    updater.begin(1e-3)
    loss = model(inputs)
    updater.backward(loss)
    updater.step()
    return float(loss.detach())


@pytest.mark.parametrize("kind", ["adamw", pytest.param("adamw_8bit", marks=needs_bitsandbytes)])
def test_it_goes_on_to_the_bit(kind: str, tmp_path: Path) -> None:
    model, updater = learner(kind)
    whole = []
    for step in range(NUM_STEPS):
        if step == NUM_STEPS // 2:
            save_file(updater.state(), tmp_path / "state.safetensors")
        whole.append(take(model, updater, step))
    other, resumed = learner(kind)
    resumed.load(load_file(tmp_path / "state.safetensors"))
    assert [take(other, resumed, step) for step in range(NUM_STEPS // 2, NUM_STEPS)] == whole[NUM_STEPS // 2 :]
    for name, value in updater.weights().items():
        assert torch.equal(value, resumed.weights()[name])


@needs_bitsandbytes
def test_moments_really_have_eight_bits() -> None:
    model, updater = learner("adamw_8bit")
    take(model, updater, 0)
    kinds = {name: value.dtype for name, value in updater.state().items()}
    assert kinds["state1/first.weight"] == torch.uint8 and kinds["state1/third.weight"] == torch.float32
