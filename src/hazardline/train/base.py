"""Which base checkpoint is fine-tuned, and what names its contents."""

from pathlib import Path

import hazardline.pocket
from hazardline.errors import UserError
from hazardline.files import digest_json, sha256_file

POCKET_CHECKPOINT = Path(hazardline.pocket.__file__).parent / "checkpoint"
_MODEL_FILES = ("config.json", "layout.json", "tokenizer.json")


def base_folder(base: str | Path) -> Path:
    """Folder of a base: `pocket` for the checkpoint inside the package, otherwise the path itself, absolute.

    Raises:
        UserError: the folder lacks a file that a base needs.
    """
    folder = POCKET_CHECKPOINT if str(base) == "pocket" else Path(base).absolute()
    missing = [name for name in _MODEL_FILES if not (folder / name).is_file()]
    if missing or not weight_files(folder):
        raise UserError(
            f"train.base: {folder} is no base checkpoint: {missing[0] if missing else 'model.safetensors'} is missing; "
            f"expected {', '.join(_MODEL_FILES)} and weights in safetensors form of a VideoLLaMA3 model"
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The checkpoint's safetensors files, in name order."""
    return sorted(folder.glob("*.safetensors"))


def base_digest(folder: Path) -> str:
    """Hex SHA-256 over configuration, layout, tokenizer and weights of a base (its model card does not count)."""
    paths = [*(folder / name for name in _MODEL_FILES), *weight_files(folder)]
    return digest_json({path.name: sha256_file(path) for path in paths})
