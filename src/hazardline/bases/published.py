"""What published weights lack: the names of transformers' native class, and a layout. Needs no torch.

The authors' VideoLLaMA3 (`model_type: videollama3_qwen2`, with code of its own) has the modules of transformers'
`VideoLlama3ForConditionalGeneration` under other names, and its placeholder is `<image>` where Qwen2.5's tokenizer has
`<|video_pad|>`; a placeholder's embedding is never read. So tensors are renamed in the heads of the safetensors files,
their bytes stay, and the configuration is written anew (names: github.com/DAMO-NLP-SG/VideoLLaMA3,
`inference/transformers_api`). CrashChat's base exists in no other form: the native repositories hold the image stage.
"""

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.files import write_json
from hazardline.vlm.layout import LAYOUT_NAME, Layout

CONFIG_NAME = "config.json"
INDEX_NAME = "model.safetensors.index.json"
AUTHORS_TYPE = "videollama3_qwen2"
LAYOUTS: dict[str, str] = {"video_llama_3": "video_llama3", "qwen2_vl": "qwen2_vl_image"}
"""Layouts of published weights inside the package, by `model_type`."""

_CONFIGURATIONS = {
    "Qwen/Qwen2-VL-2B-Instruct": "qwen2_vl_2b",
    "DAMO-NLP-SG/VideoLLaMA3-2B": "video_llama3_2b",
    "DAMO-NLP-SG/VideoLLaMA3-7B": "video_llama3_7b",
}
"""Configurations inside the package by repository, so that a run's cost is known without its weights."""

_RENAMED = (
    ("model.vision_encoder.", "model.vision_model."),
    ("model.mm_projector.", "model.projector."),
    ("model.embed_tokens.", "model.language_model.embed_tokens."),
    ("model.layers.", "model.language_model.layers."),
    ("model.norm.", "model.language_model.norm."),
    ("lm_head.", "lm_head."),
)
_TEXT_KEYS = (
    "attention_dropout bos_token_id eos_token_id hidden_act hidden_size initializer_range intermediate_size "
    "max_position_embeddings max_window_layers num_attention_heads num_hidden_layers num_key_value_heads rms_norm_eps "
    "rope_theta sliding_window tie_word_embeddings use_sliding_window vocab_size"
).split()
_VISION_KEYS = (
    "attention_dropout hidden_act hidden_size intermediate_size layer_norm_eps num_attention_heads num_channels "
    "num_hidden_layers patch_size"
).split()
_IMAGE_TOKEN_ID, _VIDEO_TOKEN_ID = 151655, 151656  # <|image_pad|> and <|video_pad|> of Qwen2.5's tokenizer


def lacks_something(folder: Path) -> bool:
    """Whether a checkpoint folder needs `complete`: it has no layout, or is in the authors' form."""
    try:
        kind = _config(folder).get("model_type")
    except UserError:  # no checkpoint, which is told elsewhere
        return False
    return not (folder / LAYOUT_NAME).is_file() or kind == AUTHORS_TYPE


def complete(folder: Path, address: str) -> None:
    """Bring a folder into the form that the line reads. What is there already stays.

    Raises:
        UserError: no configuration, weights missing, a model without a layout here, or tensors of unknown names.
    """
    if not (folder / CONFIG_NAME).is_file():
        raise UserError(f"{address}: no {CONFIG_NAME}; expected the files of a checkpoint")
    absent = missing_shards(folder)
    if absent:
        raise UserError(
            f"{address}: {absent[0]} is missing, which {INDEX_NAME} lists; expected all files of a checkpoint"
        )
    if _config(folder).get("model_type") == AUTHORS_TYPE:
        for path in sorted(folder.glob("*.safetensors")):
            _rename_tensors(path)
        _rename_index(folder / INDEX_NAME)
        write_json(folder / CONFIG_NAME, native_config(_config(folder)))  # last: it says that the rest is done
    if not (folder / LAYOUT_NAME).is_file():
        published_layout(_config(folder), address).write(folder / LAYOUT_NAME)


def missing_shards(folder: Path) -> list[str]:
    """Files that the index of divided weights lists and the folder lacks."""
    if not (folder / INDEX_NAME).is_file():
        return []
    listed = _index(folder / INDEX_NAME)["weight_map"].values()
    return sorted({str(name) for name in listed if not (folder / str(name)).is_file()})


def published_config(repository: str) -> dict[str, Any]:
    """`config.json` of published weights, in the native form, from the package.

    Raises:
        UserError: the package has none of this repository.
    """
    if repository not in _CONFIGURATIONS:
        raise UserError(
            f"hub:{repository}: its configuration is not in the package; known are {', '.join(_CONFIGURATIONS)}"
        )
    place = files("hazardline.vlm.published") / f"{_CONFIGURATIONS[repository]}.json"
    found: dict[str, Any] = json.loads(place.read_bytes())
    return found


def published_layout(config: dict[str, Any], address: str) -> Layout:
    """The layout of published weights.

    Raises:
        UserError: there is none for this `model_type` and these patches.
    """
    kind = config.get("model_type", "")
    if kind not in LAYOUTS:
        raise UserError(
            f"{address}: no {LAYOUT_NAME}, and none in the package for model_type {kind!r}; put one beside the weights "
            f"(hazardline.vlm.layout.Layout), or take a model of {' or '.join(LAYOUTS)}"
        )
    place = files("hazardline.vlm.layouts") / f"{LAYOUTS[kind]}.json"
    layout = Layout.parse_json(place.read_bytes(), place.name)
    vision = config.get("vision_config", {})
    found = vision.get("patch_size", layout.patch_px), vision.get("spatial_merge_size", layout.merge)
    if found != (layout.patch_px, layout.merge):
        raise UserError(
            f"{address}: patches of {found[0]} pixels, merged by {found[1]}, do not fit the package's layout "
            f"({layout.patch_px}, {layout.merge}); put a {LAYOUT_NAME} beside the weights"
        )
    return layout


def native_config(config: dict[str, Any]) -> dict[str, Any]:
    """`config.json` of `VideoLlama3ForConditionalGeneration` from the authors' one."""
    vision = config.get("vision_encoder_config") or {}
    return {
        "architectures": ["VideoLlama3ForConditionalGeneration"],
        "model_type": "video_llama_3",
        "image_token_id": _IMAGE_TOKEN_ID,
        "video_token_id": _VIDEO_TOKEN_ID,
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "dtype": config.get("torch_dtype", "bfloat16"),
        "text_config": {"model_type": "qwen2", **{key: config[key] for key in _TEXT_KEYS if key in config}},
        "vision_config": {
            "model_type": "video_llama_3_vision",
            **{key: vision[key] for key in _VISION_KEYS if key in vision},
        },
    }


def native_name(name: str, where: str) -> str:
    """A tensor's name in the native class.

    Raises:
        UserError: it is none of the authors' model; `where` says what was read.
    """
    if name.startswith(("model.vision_model.", "model.projector.", "model.language_model.")):
        return name  # renamed by an earlier try
    for old, new in _RENAMED:
        if name.startswith(old):
            return new + name.removeprefix(old)
    raise UserError(f"{where}: unknown tensor {name!r}; expected the weights of {AUTHORS_TYPE}")


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_NAME
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a configuration in JSON ({error})") from None
    return found if isinstance(found, dict) else {}


def _rename_tensors(path: Path) -> None:
    """Write a safetensors file anew with other names in its head (its length, JSON, then data at relative offsets)."""
    with path.open("rb") as source:
        try:
            head = json.loads(source.read(int.from_bytes(source.read(8), "little")))
            renamed = {key if key == "__metadata__" else native_name(key, path.name): head[key] for key in head}
        except (ValueError, AttributeError, MemoryError, OverflowError) as error:
            raise UserError(f"{path}: not a safetensors file ({error!r})") from None
        if renamed == head:
            return
        text = json.dumps(renamed, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        making = path.with_name(f".{path.name}.renamed")
        with making.open("wb") as target:
            target.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, target, 1 << 24)
    making.replace(path)  # a linked original keeps its bytes


def _rename_index(path: Path) -> None:
    if path.is_file():
        index = _index(path)
        renamed = {native_name(name, path.name): file for name, file in index["weight_map"].items()}
        write_json(path, {**index, "weight_map": renamed})


def _index(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        found["weight_map"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not an index of weights ({error!r})") from None
    return found
