import pytest
from peft import PeftModel

from hazardline.pocket.architecture import TINY, build_model
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import LoraSettings, add_branch
from tests.vlm.small import IDS, VOCAB_SIZE, spread_weights


@pytest.fixture
def layout() -> Layout:
    return Layout(width_px=96, height_px=48, patch_px=12, merge=2)


@pytest.fixture
def branch(layout: Layout) -> PeftModel:
    """A small model with one active branch, all weights far from zero."""
    base = build_model(TINY, layout, VOCAB_SIZE, IDS, seed=1)
    base.requires_grad_(False)
    model = add_branch(base, "linguistic", LoraSettings(rank=4, alpha=8, dropout=0.0))
    spread_weights(model)
    model.eval()
    return model
