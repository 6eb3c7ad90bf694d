"""The batched vision encoder equals the native one, and branches neither touch the base nor each other."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from hazardline.errors import UserError
from hazardline.pocket.architecture import TINY, build_model, build_qwen2_vl
from hazardline.pocket.random_base import write_random_base
from hazardline.train.packed import answer_losses, use_tree_attention
from hazardline.train.prefix import ClipRow
from hazardline.vlm.layout import Layout
from hazardline.vlm.media import Media, window_positions
from hazardline.vlm.model import (
    LoraSettings,
    add_branch,
    encode,
    load_base,
    load_branches,
    projector_noise,
    save_branch,
    use_branch,
)
from hazardline.vlm.qwen2_vl import Qwen2Vl
from tests.vlm.small import IDS, VOCAB_SIZE, native_features, random_patches, random_turns, spread_weights

LORA = LoraSettings(rank=4, alpha=8, dropout=0.0)


@pytest.mark.parametrize("merge", [1, 2, 4])
def test_batched_encoder_equals_the_native_tower(merge: int) -> None:
    layout = Layout(width_px=96, height_px=48, patch_px=12, merge=merge)
    model = build_model(TINY, layout, VOCAB_SIZE, IDS, seed=2)
    spread_weights(model)
    patches = random_patches(layout)
    with torch.no_grad():
        found = encode(model, patches, layout.grid, layout.merge)
    torch.testing.assert_close(found, native_features(model, patches, layout), rtol=1e-4, atol=1e-5)


def test_batched_encoder_of_images_equals_qwens_tower() -> None:
    layout = Layout(width_px=96, height_px=64, patch_px=16, merge=2, channels="rgb", temporal_patch=2, max_frames=1)
    ids = {**IDS, "vision_start": 5, "vision_end": 6}
    model = build_qwen2_vl(TINY, layout.patch_px, VOCAB_SIZE, ids, seed=2)
    spread_weights(model)
    patches = random_patches(layout)
    media = Media(patches.flatten(0, 1), layout.grids(1) * len(patches), layout.merge, "image")
    with torch.no_grad():
        found = encode(model, patches, layout.grid, layout.merge)
        native = Qwen2Vl().native_features(model, media)
    torch.testing.assert_close(found.flatten(0, 1), native, rtol=1e-4, atol=1e-5)


def test_encoder_looks_at_one_frame_at_a_time() -> None:
    layout = Layout(width_px=96, height_px=48)
    model = build_model(TINY, layout, VOCAB_SIZE, IDS, seed=2)
    patches = random_patches(layout)
    changed = patches.clone()
    changed[1] += 1.0
    with torch.no_grad():
        before, after = (encode(model, frames, layout.grid, layout.merge) for frames in (patches, changed))
    torch.testing.assert_close(before[[0, 2, 3, 4]], after[[0, 2, 3, 4]])
    assert not torch.allclose(before[1], after[1])


def test_window_positions_go_window_by_window() -> None:
    assert window_positions(2, 4, 2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_random_base(tmp_path / "base")
    return tmp_path / "base"


def clip_row(base: Path) -> ClipRow:
    layout = Layout.read(base / "layout.json")
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, layout.tokens_per_frame, TINY.vision_width, generator=generator)
    video_id: int = load_base(base).config.video_token_id
    return ClipRow(features, [video_id] * 2 * layout.tokens_per_frame, random_turns([(3, 4), (2, 2)]))


def losses(model: torch.nn.Module, row: ClipRow) -> torch.Tensor:
    use_tree_attention(model)
    with torch.no_grad():
        return answer_losses(model, [row]).per_token


def write_branch(base: Path, folder: Path, name: str, std: float) -> torch.Tensor:
    """Save a branch of random weights; returns the losses it gives."""
    model = add_branch(load_base(base), name, LORA)
    generator = torch.Generator().manual_seed(round(std * 1000))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(std * torch.randn(parameter.shape, generator=generator))
    model.eval()
    folder.mkdir()
    save_branch(model, name, folder)
    return losses(model, clip_row(base))


def test_branches_survive_saving_and_do_not_touch_the_base(base: Path, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("linguistic", "perception")}
    expected = {
        name: write_branch(base, folders[name], name, std) for name, std in zip(folders, (0.1, 0.2), strict=True)
    }
    assert {path.name for path in folders["linguistic"].iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    model, row = load_branches(base, folders), clip_row(base)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    plain = losses(load_base(base), row)
    for name in ("perception", "linguistic", "perception"):
        with use_branch(model, name):
            torch.testing.assert_close(losses(model, row), expected[name])
        with use_branch(model, None):
            torch.testing.assert_close(losses(model, row), plain)
    assert not torch.allclose(expected["linguistic"], expected["perception"], atol=1e-3)
    assert not torch.allclose(expected["linguistic"], plain, atol=1e-3)


def test_only_language_model_and_projector_are_trained(branch: PeftModel) -> None:
    trained = [name for name, parameter in branch.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("language_model" in name or "projector.modules_to_save" in name for name in trained)
    assert not any("vision_model" in name for name in trained)
    per_layer = {name.split("layers.0.")[1].rsplit(".lora_", 1)[0] for name in trained if "layers.0." in name}
    assert len(per_layer) == 7


def test_projector_noise_ends_with_its_block(branch: PeftModel, layout: Layout) -> None:
    features = native_features(branch, random_patches(layout), layout)
    row = ClipRow(features, [IDS["video"]] * features.shape[0] * features.shape[1], random_turns([(2, 3)]))
    before = losses(branch, row)
    noisy = []
    for seed in (1, 1, 2):
        with projector_noise(branch, 0.5, torch.Generator().manual_seed(seed)):
            noisy.append(losses(branch, row))
    torch.testing.assert_close(noisy[0], noisy[1], rtol=0, atol=0)
    assert not torch.allclose(noisy[0], noisy[2]) and not torch.allclose(noisy[0], before)
    torch.testing.assert_close(losses(branch, row), before, rtol=0, atol=0)


def test_missing_checkpoint_and_adapter_are_told(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint; expected"):
        load_base(tmp_path)
    with pytest.raises(UserError, match="no adapter; expected"):
        load_branches(base, {"linguistic": tmp_path})
