"""The model: a native one of transformers, its frozen vision encoder in one batched call, and its branches.

A branch is one PEFT adapter: LoRA on linear layers of the language model (a regular expression, since plain names
would also hit the vision encoder) and, where it is trained, its own copy of the projector (CrashChat, section 3.2).
"""

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from hazardline.errors import UserError
from hazardline.vlm.family import Family, family_named, family_of, placeholder_ids
from hazardline.vlm.settings import LINEAR_LAYERS, Quantisation


@dataclass(frozen=True)
class LoraSettings:
    """What a branch trains."""

    rank: int
    alpha: int
    dropout: float
    targets: tuple[str, ...] = LINEAR_LAYERS
    """Linear layers of every decoder layer."""
    trains_projector: bool = True


def load_base(folder: Path, dtype: torch.dtype = torch.float32, quantisation: Quantisation = "none") -> Any:
    """Load a checkpoint folder, frozen and in evaluation mode, with `sdpa` attention.

    Args:
        folder: of the checkpoint.
        dtype: of the weights; under `nf4` of those that stay as they are, and of products.
        quantisation: of the language model's linear layers.

    Raises:
        UserError: the folder holds no checkpoint of a known family in safetensors form, or bitsandbytes is missing.
    """
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: no checkpoint; expected config.json and model.safetensors of a model")
    transformers_logging.disable_progress_bar()
    config = json.loads((folder / "config.json").read_bytes())
    family = family_named(config.get("model_type", ""), str(folder / "config.json"))
    more = {} if quantisation == "none" else _in_four_bits(family, dtype)
    model = family.model_class.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True, use_safetensors=True, **more
    )
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes would reorder the weights for a bf16 kernel at the first pass without gradients
            module.support_avx512bf16_for_cpu = False
    model.requires_grad_(False)
    model.eval()
    return model


def _in_four_bits(family: Family, dtype: torch.dtype) -> dict[str, Any]:
    """Keywords of `from_pretrained` for QLoRA: NF4 with double quantisation (HazardNet, section 4)."""
    # its CPU back end asks for a package of kernels that nothing here needs
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError("train.quantisation: nf4 needs bitsandbytes; install hazardline[gpu], or choose none")
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[family.vision, family.projector, "lm_head"],
    )
    device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": settings, "device_map": {"": device}}


def core_model(model: nn.Module) -> Any:
    """The `...ForConditionalGeneration` inside a PEFT model (or the model itself)."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def projector(model: nn.Module) -> Any:
    """What is between the frozen encoder and the language model; PEFT hands a call on to the active branch's copy."""
    core = core_model(model)
    return core.get_submodule(family_of(core).projector)


def active_projector(model: nn.Module) -> Any:
    """The projector in use: that of the active branch, or the base model's."""
    found = projector(model)
    return found.modules_to_save[found.active_adapters[0]] if hasattr(found, "modules_to_save") else found


def first_projection(model: nn.Module) -> Any:
    """The first linear layer of the active projector."""
    return active_projector(model).get_submodule(family_of(core_model(model)).first_projection)


def embed(model: nn.Module, ids: Tensor, features: Tensor) -> Tensor:
    """Embeddings of ids (tokens,) with the placeholders replaced by projected features: (tokens, hidden).

    Args:
        model: base or PEFT model, the wanted branch active.
        ids: token ids, the placeholders of images and videos among them.
        features: encoder output of all placeholders in order, (..., width).

    Raises:
        ValueError: the number of placeholders is not the number of vision tokens.
    """
    core = core_model(model)
    embeddings: Tensor = core.model.language_model.embed_tokens(ids)
    image, video = placeholder_ids(core)
    is_vision = (ids == image) | (ids == video)
    vision: Tensor = projector(model)(features.reshape(-1, features.shape[-1]))
    if int(is_vision.sum()) != len(vision):
        raise ValueError(f"{int(is_vision.sum())} placeholders for {len(vision)} vision tokens")
    return embeddings.masked_scatter(is_vision[:, None], vision.to(embeddings.dtype))


@contextmanager
def projector_noise(model: nn.Module, std: float, generator: torch.Generator) -> Iterator[None]:
    """Add Gaussian noise to the first layer of the active projector for the length of a block (a regulariser).

    After whitening, which is folded into that layer, this is noise of the same size in every feature direction.
    """

    def disturb(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output + std * torch.randn(output.shape, generator=generator, dtype=torch.float32).to(output)

    handle = first_projection(model).register_forward_hook(disturb)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def text_attention(model: nn.Module, name: str) -> Iterator[None]:
    """Use an attention function in the language model for the length of a block."""
    config = core_model(model).model.language_model.config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def encode(model: nn.Module, patches: Tensor, grid: tuple[int, int], merge: int) -> Tensor:
    """Run the frozen vision encoder over frames of one size, all frames in one batch.

    The same function as the native tower (which attends within each frame of a ragged list), as a test holds.

    Args:
        model: base or PEFT model.
        patches: (frames, patches, patch size) in merge-window order.
        grid: rows and columns of patches.
        merge: patches merged along each side.

    Returns:
        (frames, features of a frame, vision hidden size): of tokens, or of patches where the projector merges them.
    """
    core = core_model(model)
    return family_of(core).encode(core, patches, grid, merge)


def add_branch(model: nn.Module, name: str, settings: LoraSettings) -> PeftModel:
    """Add a trainable branch of fresh weights to a frozen base, and make it the active one."""
    family = family_of(model)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=rf"{family.language_layers}\.({'|'.join(settings.targets)})",
        modules_to_save=[family.projector.rpartition(".")[2]] if settings.trains_projector else None,
        bias="none",
    )
    return get_peft_model(model, config, adapter_name=name)


def save_branch(model: PeftModel, name: str, folder: Path) -> None:
    """Write one branch as a PEFT adapter folder (adapter_config.json, adapter_model.safetensors)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Could not find a config file", category=UserWarning)
        model.save_pretrained(str(folder), selected_adapters=[name], safe_serialization=True)
    nested = folder / name
    if nested.is_dir():  # PEFT puts every adapter but one named `default` into a folder of its own
        for path in nested.iterdir():
            path.replace(folder / path.name)
        nested.rmdir()


def load_branches(base: Path, adapters: Mapping[str, Path], dtype: torch.dtype = torch.float32) -> PeftModel:
    """Load a base with named branches, frozen, in evaluation mode, the first one active.

    Raises:
        UserError: an adapter folder is missing or incomplete.
    """
    if not adapters:
        raise ValueError("load_branches needs at least one adapter")
    for folder in adapters.values():
        if not (folder / "adapter_model.safetensors").is_file():
            raise UserError(f"{folder}: no adapter; expected adapter_config.json and adapter_model.safetensors")
    names = list(adapters)
    model = PeftModel.from_pretrained(
        load_base(base, dtype), str(adapters[names[0]]), adapter_name=names[0], local_files_only=True
    )
    for name in names[1:]:
        model.load_adapter(str(adapters[name]), adapter_name=name, local_files_only=True)
    model.set_adapter(names[0])
    model.requires_grad_(False)
    model.eval()
    return model


@contextmanager
def use_branch(model: nn.Module, name: str | None) -> Iterator[None]:
    """Run a block with one branch active, or with none (the base model)."""
    if not isinstance(model, PeftModel):
        if name is not None:
            raise ValueError(f"a plain base model has no branch {name!r}")
        yield
    elif name is None:
        with model.disable_adapter():
            yield
    else:
        before = model.active_adapter
        model.set_adapter(name)
        model.requires_grad_(False)
        try:
            yield
        finally:
            model.set_adapter(before)
            model.requires_grad_(False)
