import pytest
from peft import PeftModel

from hazardline.vlm.layout import Layout
from tests.vlm.small import small_branch


@pytest.fixture
def layout() -> Layout:
    return Layout(width_px=96, height_px=48, patch_px=12, merge=2)


@pytest.fixture
def branch(layout: Layout) -> PeftModel:
    """A small model with one active branch, all weights far from zero."""
    return small_branch("video_llama_3", layout)
