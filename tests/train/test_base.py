"""Which base, and the digests that name its contents."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.pocket.architecture import TINY, build_qwen2_vl
from hazardline.pocket.settings import PocketImageSettings, PocketSettings
from hazardline.train.base import POCKET_CHECKPOINT, base_digest, base_folder, encoder_digest, encoder_width


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


def test_pocket_lies_in_the_package() -> None:
    assert POCKET_CHECKPOINT.parts[-3:] == ("hazardline", "pocket", "checkpoint")


@pytest.mark.parametrize("name, settings", [("pocket", PocketSettings()), ("pocket-image", PocketImageSettings())])
def test_a_shipped_base_is_complete_and_of_the_settings_that_make_it(name: str, settings: Document) -> None:
    folder = base_folder(name)
    made = json.loads((folder / "pretraining.json").read_text())
    assert made["settings"] == settings.data(), "change the settings together with the checkpoint"
    assert "never near a road" in " ".join((folder / "README.md").read_text().split())


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_told(copy: Path, name: str) -> None:
    assert base_folder(copy) == copy
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"is no base checkpoint: {name} is missing"):
        base_folder(copy)


def test_a_folder_without_a_layout_gets_one_if_the_package_has_one_that_fits(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    (copy / "layout.json").unlink()
    with pytest.raises(UserError, match=r"patches of 12 pixels, .* do not fit .*; put a layout\.json beside"):
        base_folder(copy)


def test_an_address_of_no_form_is_told() -> None:
    with pytest.raises(UserError, match=r"train\.base: hub:owner/name@main: weights must be pinned"):
        base_folder("hub:owner/name@main")


def test_the_model_card_does_not_count(copy: Path) -> None:
    before = base_digest(copy)
    (copy / "README.md").write_text("A card.")
    assert base_digest(copy) == before
    (copy / "layout.json").write_text("{}")
    assert base_digest(copy) != before


def test_encoder_digest_sees_the_vision_encoder_alone(base: Path, copy: Path) -> None:
    before = encoder_digest(base)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])

    def flip(part: str) -> str:
        name = next(name for name in sorted(header) if part in name)
        place = 8 + length + header[name]["data_offsets"][0]
        data[place] ^= 1
        weights.write_bytes(bytes(data))
        found = encoder_digest(copy)
        data[place] ^= 1
        return found

    assert flip("language_model.") == before
    assert flip("vision_model.") != before
    assert encoder_width(base) == 32


def test_qwen2_vl_keeps_its_projector_below_its_encoder(tmp_path: Path) -> None:
    ids = {"pad": 0, "end": 2, "image": 3, "video": 4, "vision_start": 5, "vision_end": 6}
    model = build_qwen2_vl(TINY, 4, 300, ids, seed=1)
    model.save_pretrained(tmp_path / "one")
    model.model.visual.merger.mlp[0].weight.data += 1
    model.save_pretrained(tmp_path / "two")
    assert encoder_digest(tmp_path / "one") == encoder_digest(tmp_path / "two")
    assert encoder_width(tmp_path / "one") == model.config.vision_config.embed_dim
    model.model.visual.blocks[0].attn.proj.weight.data += 1
    model.save_pretrained(tmp_path / "three")
    assert encoder_digest(tmp_path / "two") != encoder_digest(tmp_path / "three")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{}", "no configuration of a VideoLLaMA3 or Qwen2-VL model"),
        ("model.safetensors", b"not a checkpoint at all", "not a safetensors file"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}", "no weights of a vision encoder"),
    ],
)
def test_a_damaged_base_is_told(copy: Path, name: str, content: bytes, message: str) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        encoder_digest(copy)


def test_the_stage_s_own_process_does_without_torch() -> None:
    """Each process that imports torch holds half a gigabyte: only workers and encoders may."""
    code = "import sys, hazardline.train.stage; print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
