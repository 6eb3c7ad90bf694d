"""White coordinates: training in them, native weights on the disk."""

from pathlib import Path

import pytest
import torch

from hazardline.pocket.random_base import write_random_base
from hazardline.vlm.model import LoraSettings, active_projector, add_branch, load_base
from hazardline.vlm.whitening import Whitening, enter_white, native_weights

WIDTH = 32


@pytest.fixture
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(-1.3, 0.5, WIDTH)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))[0]
    return (torch.randn(4000, WIDTH, generator=generator) * scales) @ rotation + 2


def test_features_become_white(features: torch.Tensor) -> None:
    white = Whitening.fit(features, floor=1e-6)(features)
    assert torch.allclose(torch.cov(white.T), torch.eye(WIDTH), atol=1e-2)
    assert white.mean(dim=0).abs().max() < 1e-2


def test_a_map_is_found_again_beside_its_checkpoint(features: torch.Tensor, tmp_path: Path) -> None:
    assert Whitening.load(tmp_path) is None
    Whitening.fit(features).save(tmp_path)
    again = Whitening.load(tmp_path)
    assert again is not None
    assert torch.equal(again(features), Whitening.fit(features)(features))


def test_a_branch_in_white_coordinates_does_the_same_and_saves_native_weights(
    features: torch.Tensor, tmp_path: Path
) -> None:
    write_random_base(tmp_path)
    model = add_branch(load_base(tmp_path), "perception", LoraSettings(4, 8, 0.0))
    whitening = Whitening.fit(features)
    projector = active_projector(model)
    native = {name: value.detach().clone() for name, value in projector.named_parameters()}
    before = projector(features)
    enter_white(model, whitening)
    assert not torch.allclose(projector.readout[0].weight, native["readout.0.weight"])
    assert torch.allclose(projector(whitening(features)), before, atol=1e-4)
    white = projector.readout[0].weight.detach().clone()
    with native_weights(model, whitening):
        assert torch.allclose(projector.readout[0].weight, native["readout.0.weight"], atol=1e-5)
        assert torch.allclose(projector(features), before, atol=1e-4)
    assert torch.equal(projector.readout[0].weight, white)
