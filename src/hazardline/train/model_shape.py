"""Sizes of a checkpoint, read from its configuration: what memory and operations are counted from. Needs no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.errors import UserError


@dataclass(frozen=True)
class VisionShape:
    """The frozen vision encoder.

    Attributes:
        family: `model_type` of the whole model, `video_llama_3` or `qwen2_vl`.
        width: of its states.
        mlp: width of its MLP.
        layers: of the encoder.
        patch_values: values of a patch.
        merged: patches that one input of the projector holds: Qwen2-VL's projector merges, VideoLLaMA3's encoder.
    """

    family: str
    width: int
    mlp: int
    layers: int
    patch_values: int
    merged: int

    @property
    def parameters(self) -> int:
        """Of the encoder, biases and norms with it."""
        width = self.width
        layer = 4 * (width * width + width) + 2 * width * self.mlp + self.mlp + width + 4 * width
        patches = self.patch_values * width
        if self.family == "video_llama_3":
            patches += width + 2 * width  # a bias of the convolution, and a norm after the last layer
        return patches + self.layers * layer


@dataclass(frozen=True)
class ModelShape:
    """A vision-language model: a decoder of Qwen2's kind behind a vision encoder and a projector of two layers."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    is_tied: bool
    """Whether the head is the embedding."""
    vision: VisionShape

    @property
    def kv_width(self) -> int:
        """Width of keys, and of values."""
        return self.hidden // self.heads * self.kv_heads

    @property
    def linear_sizes(self) -> dict[str, tuple[int, int]]:
        """Input and output width of each linear layer of a decoder layer."""
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (self.hidden, self.kv_width),
            "v_proj": (self.hidden, self.kv_width),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.hidden, self.mlp),
            "up_proj": (self.hidden, self.mlp),
            "down_proj": (self.mlp, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Of the decoder's linear layers."""
        return self.layers * sum(a * b for a, b in self.linear_sizes.values())

    @property
    def projector_products(self) -> int:
        """Weights of the projector's two linear layers."""
        inner = self.vision.width * self.vision.merged
        middle = self.hidden if self.vision.family == "video_llama_3" else inner
        return inner * middle + middle * self.hidden

    @property
    def projector_parameters(self) -> int:
        """With biases, and with the norm that Qwen2-VL has before them."""
        if self.vision.family == "video_llama_3":
            return self.projector_products + 2 * self.hidden
        inner = self.vision.width * self.vision.merged
        return self.projector_products + inner + self.hidden + 2 * self.vision.width

    @property
    def parameters(self) -> int:
        """Of the whole model; the decoder's biases and norms, a ten-thousandth of it, are left out."""
        embeddings = self.vocab * self.hidden * (1 if self.is_tied else 2)
        return embeddings + self.linear_parameters + self.vision.parameters + self.projector_parameters

    @classmethod
    def of(cls, core: Any) -> "ModelShape":
        """Of a loaded model, on any device (also `meta`); what a branch has added does not count."""
        return cls.from_config(core.config.to_dict(), type(core).__name__)

    @classmethod
    def read(cls, path: Path) -> "ModelShape":
        """From a `config.json`.

        Raises:
            UserError: it is none of a known family.
        """
        try:
            config = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not a configuration in JSON ({error})") from None
        return cls.from_config(config, str(path))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str) -> "ModelShape":
        """From a configuration as transformers writes it, or as published (Qwen2-VL's text sizes stand outside).

        Raises:
            UserError: a size is missing; `where` names what was read.
        """
        text = config.get("text_config") or config
        try:
            return cls(
                hidden=text["hidden_size"],
                mlp=text["intermediate_size"],
                layers=text["num_hidden_layers"],
                heads=text["num_attention_heads"],
                kv_heads=text["num_key_value_heads"],
                vocab=text["vocab_size"],
                is_tied=bool(config.get("tie_word_embeddings") or text.get("tie_word_embeddings")),
                vision=_vision_shape(config["model_type"], config["vision_config"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{where}: no configuration of a VideoLLaMA3 or Qwen2-VL model ({error!r})") from None


def _vision_shape(family: str, vision: Mapping[str, Any]) -> VisionShape:
    if family == "video_llama_3":
        values = vision["num_channels"] * vision["patch_size"] ** 2
        return VisionShape(
            family, vision["hidden_size"], vision["intermediate_size"], vision["num_hidden_layers"], values, 1
        )
    if family == "qwen2_vl":
        width = vision["embed_dim"]
        values = vision.get("in_channels", 3) * vision["patch_size"] ** 2 * vision["temporal_patch_size"]
        return VisionShape(
            family, width, int(width * vision["mlp_ratio"]), vision["depth"], values, vision["spatial_merge_size"] ** 2
        )
    raise KeyError(family)


def lora_parameters(shape: ModelShape, rank: int, targets: tuple[str, ...]) -> int:
    """Trainable parameters of LoRA: rank x (inputs + outputs) a layer (HazardNet: 2,179,072 on Qwen2-VL-2B)."""
    return shape.layers * rank * sum(sum(shape.linear_sizes[name]) for name in targets)
