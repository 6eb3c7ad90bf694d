"""The memory plan: the papers' parameter counts, what autograd really keeps, and the remedy that it names."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from hazardline.errors import UserError
from hazardline.pocket.architecture import PocketSize, build_model, build_qwen2_vl
from hazardline.train.config import TrainConfig
from hazardline.train.loss import LOGITS_PER_PIECE
from hazardline.train.memory_plan import RowSize, check_memory, plan_memory
from hazardline.train.model_shape import ModelShape, VisionShape, lora_parameters
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import LoraSettings, add_branch, core_model
from tests.vlm.small import IDS, VOCAB_SIZE, small_scene

SIZE = PocketSize(text_width=128, text_layers=3, text_mlp=256, text_heads=4, text_kv_heads=2, vision_layers=1)
LAYOUT = Layout(width_px=96, height_px=48, patch_px=12, merge=2)
LENGTHS = [(30, 20), (25, 30), (20, 25)]
QWEN2_VL_2B = ModelShape(
    hidden=1536,
    mlp=8960,
    layers=28,
    heads=12,
    kv_heads=2,
    vocab=151_936,
    is_tied=True,
    vision=VisionShape("qwen2_vl", width=1280, mlp=5120, layers=32, patch_values=1176, merged=4),
)


def qwen2_vl_2b() -> Any:
    """The published shape, without memory."""
    text = {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    }
    vision = {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4, "patch_size": 14}
    with torch.device("meta"):
        return Qwen2VLForConditionalGeneration(
            Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
        )


def test_hazardnets_lora_has_the_papers_parameters() -> None:
    core = qwen2_vl_2b()
    shape = ModelShape.of(core)
    assert lora_parameters(shape, 16, ("q_proj", "v_proj")) == 2_179_072
    settings = LoraConfig(r=16, lora_alpha=16, target_modules=r".*language_model\.layers\..*\.(q_proj|v_proj)")
    model = get_peft_model(core, settings)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == 2_179_072
    assert (shape.hidden, shape.kv_width, shape.layers) == (1536, 256, 28)


def kept_bytes(model: nn.Module, rows: list[Any]) -> int:
    """What autograd keeps of a step, each storage once, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        answer_losses(model, rows)
    return sum(kept.values())


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), LoraSettings(1, 1, 0.0).targets], ids=["two", "all"])
@pytest.mark.parametrize("family", ["video_llama_3", "qwen2_vl"])
def test_the_count_is_near_what_autograd_keeps(family: str, targets: tuple[str, ...]) -> None:
    base: Any = (
        build_qwen2_vl(SIZE, 4, VOCAB_SIZE, IDS, 0)
        if family == "qwen2_vl"
        else build_model(SIZE, LAYOUT, VOCAB_SIZE, IDS, 0)
    )
    base.requires_grad_(False)
    model = add_branch(base, "linguistic", LoraSettings(8, 16, 0.0, targets))
    use_tree_attention(model)
    model.train()
    row = small_scene(model, LAYOUT, LENGTHS).row
    turns = sum(question + answer for question, answer in LENGTHS)
    size = RowSize(len(row.prefix), turns, sum(answer for _, answer in LENGTHS))
    config = TrainConfig.parse(
        {"precision": "fp32", "lora": {"rank": 8, "dropout": 0.0, "targets": list(targets)}}, "test"
    )
    shape = ModelShape.of(core_model(model))
    plan = plan_memory(shape, config, "linguistic", size, False, LOGITS_PER_PIECE)
    found = kept_bytes(model, [row])
    assert 0.85 < plan.activations / found < 1.15
    assert plan.trained == 16 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert plan.weights == pytest.approx(4 * sum(p.numel() for p in base.parameters() if not p.requires_grad), rel=0.15)


ROW = RowSize(prefix_tokens=15_884, turn_tokens=500, answer_tokens=200)


def plan_on(gigabytes: int, **changes: Any) -> Any:
    config = TrainConfig.parse({"precision": "bf16", **changes}, "test")
    return check_memory(QWEN2_VL_2B, config, "linguistic", ROW, gigabytes * 10**9, True, LOGITS_PER_PIECE)


def test_a_plan_that_does_not_fit_names_the_setting_that_fits() -> None:
    with pytest.raises(UserError, match=r"would need .* GB .*the device has 24\.0 GB.*gradient_checkpointing: true"):
        plan_on(24)
    assert plan_on(24, gradient_checkpointing=True).total < 24 * 10**9
    with pytest.raises(UserError, match="no setting makes it fit"):
        plan_on(1)


def test_every_setting_saves_what_it_promises() -> None:
    plain = plan_on(800)
    assert plan_on(800, gradient_checkpointing=True).activations < 0.2 * plain.activations
    assert plan_on(800, clips_per_row=2).activations == 2 * plain.activations
    assert plan_on(800, quantisation="nf4").weights < 0.65 * plain.weights
    assert plan_on(800, optimizer="adamw_8bit").trained < plain.trained
    assert plan_on(800, parallelism="zero3", num_workers=4).weights == pytest.approx(plain.weights / 4, rel=1e-6)
    assert plan_on(800, parallelism="zero1", num_workers=4).trained < plain.trained
