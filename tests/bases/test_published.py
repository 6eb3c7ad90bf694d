"""Published weights: the authors' names become the native ones, every byte is kept, the package gives a layout."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from hazardline.bases.published import LAYOUTS, native_name, published_layout
from hazardline.errors import UserError
from hazardline.train.base import base_digest, base_folder, encoder_digest, encoder_width
from hazardline.vlm.layout import LAYOUT_NAME
from hazardline.vlm.model import load_base


def test_the_authors_form_becomes_the_native_model(authors: Path, native: Path, home: Path) -> None:
    before = {path.name: path.read_bytes() for path in authors.iterdir()}
    folder = base_folder(str(authors))
    assert folder.parent == home / "bases"
    converted, expected = load_base(folder).state_dict(), load_base(native).state_dict()
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], expected[name]) for name in expected)
    assert encoder_digest(folder) != "" and encoder_width(folder) == 32
    assert {path.name: path.read_bytes() for path in authors.iterdir()} == before
    assert not list(folder.glob("*.py")) and not list(folder.glob("*.bin"))
    assert base_folder(str(authors)) == folder


def test_the_converted_configuration_is_that_of_the_native_model(authors: Path, native: Path, home: Path) -> None:
    from transformers import VideoLlama3Config

    found = VideoLlama3Config.from_pretrained(base_folder(str(authors)))
    expected = VideoLlama3Config.from_pretrained(native)
    for part in ("text_config", "vision_config"):
        one, other = getattr(found, part).to_dict(), getattr(expected, part).to_dict()
        differing = {key for key in one if one[key] != other.get(key)}
        assert differing <= {"dtype", "pad_token_id", "use_cache", "initializer_range", "architectures"}, part
    assert (found.image_token_id, found.video_token_id) == (151655, 151656)


def test_native_weights_without_a_layout_get_the_one_of_their_family(native: Path, home: Path) -> None:
    folder = base_folder(str(native))
    assert folder != native and not (native / LAYOUT_NAME).exists()
    assert json.loads((folder / LAYOUT_NAME).read_bytes())["frame_separator"] == ","
    assert base_digest(folder)


def test_a_folder_that_lacks_nothing_is_used_as_it_is(base_with_layout: Path, home: Path) -> None:
    assert base_folder(str(base_with_layout)) == base_with_layout
    assert not home.exists()


@pytest.fixture
def base_with_layout(native: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(native, tmp_path / "own"))
    published_layout(json.loads((native / "config.json").read_bytes()), "here").write(folder / LAYOUT_NAME)
    return folder


def test_a_missing_shard_is_told(authors: Path, tmp_path: Path, home: Path) -> None:
    folder = Path(shutil.copytree(authors, tmp_path / "partial"))
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors is missing, which"):
        base_folder(str(folder))
    assert not [path for path in (home / "bases").iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llava"}, "none in the package for model_type 'llava'"),
        ({"vision_config": {"patch_size": 16}}, "patches of 16 pixels, merged by 2, do not fit"),
    ],
)
def test_a_model_without_a_fitting_layout_is_refused(change: dict[str, object], message: str, native: Path) -> None:
    config = json.loads((native / "config.json").read_bytes())
    with pytest.raises(UserError, match=message):
        published_layout({**config, **change}, "here")


def test_an_unknown_tensor_is_refused() -> None:
    assert native_name("model.layers.3.mlp.up_proj.weight", "w") == "model.language_model.layers.3.mlp.up_proj.weight"
    with pytest.raises(UserError, match=r"unknown tensor 'model\.audio\.weight'"):
        native_name("model.audio.weight", "w")


def test_layouts_keep_the_papers_budgets() -> None:
    video = published_layout({"model_type": "video_llama_3"}, "here")
    assert (video.max_frames, video.rate_hz, video.tokens_per_frame) == (96, 10.0, 104)
    assert 0.97 < video.max_frames * video.tokens_per_frame / 10_240 <= 1
    image = published_layout({"model_type": "qwen2_vl"}, "here")
    assert (image.media, image.tokens_per_frame, image.features_per_frame) == ("image", 720, 2880)
    assert image.width_px * image.height_px < 1280 * 28 * 28  # the published processor's largest image
    assert set(LAYOUTS) == {"video_llama_3", "qwen2_vl"}
