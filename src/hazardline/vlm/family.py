"""What a model's architecture decides: the engine around it is the same for every family, and each has one file.

A family joins by a file like `qwen2_vl.py` and a line in `FAMILIES`. It tells where transformers keeps the parts, how
positions are counted and what the native forward pass wants; it computes nothing that transformers computes.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from hazardline.errors import UserError
from hazardline.vlm.media import Grid, Media
from hazardline.vlm.qwen2_vl import Qwen2Vl
from hazardline.vlm.video_llama3 import VideoLlama3


class Family(Protocol):
    """One architecture of transformers."""

    model_class: Any
    """Its `...ForConditionalGeneration`."""
    language_layers: str
    """Regular expression of the decoder layers' names: LoRA must not touch the vision encoder."""
    vision: str
    """Name, below the model, of the frozen vision encoder."""
    projector: str
    """Name, below the model, of what is between the frozen encoder and the language model."""
    first_projection: str
    """Name, below the projector, of its first linear layer."""
    position_axes: int
    """Position ids of a token: one, or three in time, height and width (M-RoPE)."""

    def positions(self, core: Any, ids: Sequence[int], grids: Sequence[Grid]) -> Tensor:
        """Position ids of one sample as the language model's rotary embedding takes them, (..., 1, tokens)."""

    def encode(self, core: Any, patches: Tensor, grid: tuple[int, int], merge: int) -> Tensor:
        """The frozen encoder over frames of one size in one batch: (frames, features of a frame, width)."""

    def native_features(self, core: Any, media: Media) -> Tensor:
        """Output of transformers' own vision encoder, before the projector: (tokens or patches, width)."""

    def native_inputs(self, core: Any, ids: Sequence[int], media: Media) -> dict[str, Any]:
        """Keywords of transformers' own forward pass over one sample from pixels."""


FAMILIES: dict[str, Family] = {"video_llama_3": VideoLlama3(), "qwen2_vl": Qwen2Vl()}
"""By `model_type` of a checkpoint's configuration."""


def family_named(model_type: str, where: str) -> Family:
    """The family of a `model_type`.

    Raises:
        UserError: there is none; `where` names what was read.
    """
    if model_type not in FAMILIES:
        raise UserError(f"{where}: model_type {model_type!r} is not known; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def family_of(core: Any) -> Family:
    """The family of a loaded model (without its PEFT shell)."""
    return family_named(core.config.model_type, type(core).__name__)


def placeholder_ids(core: Any) -> tuple[int, int]:
    """Token ids in whose place features stand: of images and of videos."""
    return core.config.image_token_id, core.config.video_token_id
