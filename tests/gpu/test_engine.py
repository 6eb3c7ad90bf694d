"""The engine on a GPU: gradients by both back ends, four bits on the device, and the planned memory. Never run yet."""

from typing import Any

import pytest
import torch

from hazardline.pocket.architecture import PocketSize, build_qwen2_vl
from hazardline.train.base import POCKET_CHECKPOINT
from hazardline.train.config import TrainConfig
from hazardline.train.loss import LOGITS_PER_PIECE
from hazardline.train.mask import BackEnd
from hazardline.train.memory_plan import RowSize, plan_memory
from hazardline.train.model_shape import ModelShape
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import LoraSettings, add_branch, core_model, load_base
from tests.vlm.small import (
    IDS,
    VOCAB_SIZE,
    Scene,
    gradient,
    relative_error,
    separate_loss,
    small_branch,
    small_scene,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
LAYOUT = Layout(width_px=96, height_px=48, patch_px=12, merge=2)
LENGTHS = [[(3, 1), (9, 14), (5, 4), (2, 7)], [(2, 3)], [(1, 2), (6, 1)]]


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    """TF32 would hide what is compared."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def scenes_of(model: Any) -> list[Scene]:
    return [small_scene(model, LAYOUT, lengths, seed) for seed, lengths in enumerate(LENGTHS)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("back_end", ["sdpa", "flex"])
@pytest.mark.parametrize("family", ["video_llama_3", "qwen2_vl"])
def test_the_gradient_is_that_of_separate_samples(family: str, back_end: BackEnd, checkpointing: bool) -> None:
    model = small_branch(family, LAYOUT)
    scenes = scenes_of(model)
    model.to("cuda")
    expected = gradient(model, separate_loss(model, scenes))
    use_tree_attention(model, back_end)
    if checkpointing:
        core_model(model).activation_checkpointing_enable()
        model.train()
    packed = answer_losses(model, [scene.row for scene in scenes]).mean_over_turns()
    assert relative_error(gradient(model, packed), expected) <= 3e-6


def test_flex_is_chosen_here() -> None:
    model = small_branch("qwen2_vl", LAYOUT).to("cuda")
    use_tree_attention(model)
    assert core_model(model).model.language_model.config._attn_implementation == "hazardline_tree_flex"


def test_four_bits_lie_on_the_device() -> None:
    pytest.importorskip("bitsandbytes")
    base = load_base(POCKET_CHECKPOINT, torch.bfloat16, "nf4")
    model = add_branch(base, "linguistic", LoraSettings(8, 16, 0.0))
    use_tree_attention(model)
    layers = core_model(model).model.language_model.layers
    assert layers[0].mlp.up_proj.weight.quant_type == "nf4" and layers[0].mlp.up_proj.weight.is_cuda


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_plan_is_near_the_peak(checkpointing: bool) -> None:
    size = PocketSize(text_width=512, text_layers=8, text_mlp=1536, text_heads=8, text_kv_heads=2)
    base = build_qwen2_vl(size, 4, VOCAB_SIZE, IDS, 0)
    base.requires_grad_(False)
    config = TrainConfig.parse(
        {"precision": "fp32", "lora": {"rank": 8, "dropout": 0.0}, "gradient_checkpointing": checkpointing}, "test"
    )
    model = add_branch(base, "linguistic", LoraSettings(8, 32, 0.0))
    row = small_scene(model, LAYOUT, [(60, 40)] * 20).row
    model.to("cuda")
    use_tree_attention(model)
    model.train()
    if checkpointing:
        core_model(model).activation_checkpointing_enable()
    torch.cuda.reset_peak_memory_stats()
    answer_losses(model, [row]).mean_over_turns().backward()
    plan = plan_memory(
        ModelShape.of(core_model(model)),
        config,
        "linguistic",
        RowSize(len(row.prefix), 20 * 100, 20 * 40),
        False,
        LOGITS_PER_PIECE,
    )
    assert 0.6 < plan.total / torch.cuda.max_memory_allocated() < 1.6
