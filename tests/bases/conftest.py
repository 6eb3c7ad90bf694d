import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from hazardline.pocket.architecture import TINY, build_model
from hazardline.pocket.vocabulary import special_ids, train_tokenizer
from hazardline.vlm.layout import Layout
from hazardline.vlm.text import TOKENIZER_NAME

PUBLISHED_LAYOUT = Layout(width_px=112, height_px=56, patch_px=14, merge=2, channels="rgb")
AUTHORS_NAMES = (
    ("model.vision_model.", "model.vision_encoder."),
    ("model.projector.", "model.mm_projector."),
    ("model.language_model.", "model."),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAZARDLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as a native repository has them: no layout, a tokenizer that knows the published tokens."""
    folder = tmp_path_factory.mktemp("native")
    tokenizer = train_tokenizer(["Time 1.9s: , Yes No"] * 4, PUBLISHED_LAYOUT, 400)
    model = build_model(TINY, PUBLISHED_LAYOUT, tokenizer.get_vocab_size(), special_ids(tokenizer), 0)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / TOKENIZER_NAME))
    return folder


@pytest.fixture(scope="session")
def authors(native: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in the form of VideoLLaMA3's authors, in two files, with code and a pickle beside them."""
    folder = tmp_path_factory.mktemp("authors")
    renamed = {}
    for name, tensor in load_file(native / "model.safetensors").items():
        old, new = next(((old, new) for old, new in AUTHORS_NAMES if name.startswith(old)), ("", ""))
        renamed[new + name.removeprefix(old)] = tensor
    half = len(renamed) // 2
    index = {}
    for number, names in enumerate([sorted(renamed)[:half], sorted(renamed)[half:]], start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: renamed[name] for name in names}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    config = json.loads((native / "config.json").read_bytes())
    text, vision = config["text_config"], config["vision_config"]
    text["rope_theta"] = text.pop("rope_parameters")["rope_theta"]
    outer = {
        "model_type": "videollama3_qwen2",
        "auto_map": {"AutoConfig": "configuration_videollama3.Videollama3Qwen2Config"},
        "image_token_index": 7,
        "tie_word_embeddings": config["tie_word_embeddings"],
        "torch_dtype": "float32",
        "vision_encoder_config": {**vision, "model_type": "videollama3_vision_encoder"},
    }
    (folder / "config.json").write_text(json.dumps({**text, **outer}))
    (folder / TOKENIZER_NAME).write_bytes((native / TOKENIZER_NAME).read_bytes())
    (folder / "modeling_videollama3.py").write_text("raise RuntimeError")
    (folder / "training_args.bin").write_bytes(b"\x80pickle")
    return folder
