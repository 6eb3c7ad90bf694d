"""Which base checkpoint is fine-tuned, and what names its contents. Needs no torch."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hazardline.pocket
from hazardline.bases.address import POCKETS, Base, parse_base
from hazardline.bases.fetch import fetch_base, prepare_folder
from hazardline.bases.published import lacks_something, missing_shards
from hazardline.errors import UserError
from hazardline.files import canonical_json, digest_json, sha256_file

POCKET_CHECKPOINT = Path(hazardline.pocket.__file__).parent / POCKETS["pocket"]
_MODEL_FILES = ("config.json", "layout.json", "tokenizer.json")


def base_folder(base: str | Path) -> Path:
    """Folder of a base (`hazardline.bases.address`), absolute; fetched first where it lies in S3 or on a hub.

    A folder with published weights, without a layout, is completed in the cache and stays as it is.

    Raises:
        UserError: the address has no known form, the base cannot be reached, or lacks a file that it needs.
    """
    try:
        parsed = parse_base(str(base))
    except ValueError as error:
        raise UserError(f"train.base: {error}") from None
    folder = _local_folder(parsed)
    missing = [name for name in _MODEL_FILES if not (folder / name).is_file()] or missing_shards(folder)
    if missing or not weight_files(folder):
        raise UserError(
            f"train.base: {folder} is no base checkpoint: {missing[0] if missing else 'model.safetensors'} is missing; "
            f"expected {', '.join(_MODEL_FILES)} and weights in safetensors form of a VideoLLaMA3 or Qwen2-VL model"
        )
    return folder


def _local_folder(base: Base) -> Path:
    if base.kind == "package":
        return POCKET_CHECKPOINT.parent / base.place
    if base.kind != "folder":
        return fetch_base(base)
    folder = Path(base.place).absolute()
    return prepare_folder(folder) if weight_files(folder) and lacks_something(folder) else folder


def weight_files(folder: Path) -> list[Path]:
    """The model's safetensors files, in name order (a base may keep others beside them)."""
    return sorted(folder.glob("model*.safetensors"))


def base_digest(folder: Path) -> str:
    """Hex SHA-256 over configuration, layout, tokenizer and weights of a base (its model card does not count)."""
    paths = [*(folder / name for name in _MODEL_FILES), *weight_files(folder)]
    return digest_json({path.name: sha256_file(path) for path in paths})


def encoder_width(folder: Path) -> int:
    """Width of the vision encoder's output."""
    vision = _vision_config(folder)
    width: int = vision.get("embed_dim", vision["hidden_size"])  # Qwen2-VL's `hidden_size` is its projector's output
    return width


def encoder_digest(folder: Path) -> str:
    """Hex SHA-256 over the vision encoder's configuration and weights: what cached features depend on.

    Raises:
        UserError: the checkpoint has no vision encoder, or a file is damaged.
    """
    digest = hashlib.sha256(canonical_json(_vision_config(folder)))
    tensors = sorted(tensor for path in weight_files(folder) for tensor in _vision_tensors(path))
    if not tensors:
        raise UserError(f"{folder}: no weights of a vision encoder; expected a VideoLLaMA3 or Qwen2-VL checkpoint")
    for name, kind, data in tensors:
        digest.update(f"{name}\0{kind}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()


def _vision_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())["vision_config"]
        config["hidden_size"] + 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no configuration of a VideoLLaMA3 or Qwen2-VL model ({error!r})") from None
    return config


def _is_of_encoder(name: str) -> bool:
    """Qwen2-VL keeps its projector, the merger, below its vision tower."""
    return "vision_model." in name or ("visual." in name and "visual.merger." not in name)


def _vision_tensors(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, type with shape, and bytes of every tensor of the vision encoder in a safetensors file."""
    with path.open("rb") as stream:
        try:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
            found = {name: entry for name, entry in header.items() if _is_of_encoder(name)}
            places = {name: entry["data_offsets"] for name, entry in found.items()}
        except (ValueError, KeyError, AttributeError, MemoryError) as error:
            raise UserError(f"{path}: not a safetensors file ({error!r})") from None
        for name, (begin, end) in places.items():
            stream.seek(8 + length + begin)
            yield name, f"{found[name].get('dtype')} {found[name].get('shape')}", stream.read(end - begin)
