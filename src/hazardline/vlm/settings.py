"""What a recipe may choose of a base and of LoRA. Without torch: the process that starts workers reads it too."""

from typing import Literal, get_args

LinearLayer = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LINEAR_LAYERS: tuple[LinearLayer, ...] = get_args(LinearLayer)
"""All linear layers of a decoder layer (CrashChat); HazardNet adapts `q_proj` and `v_proj` alone."""

Quantisation = Literal["none", "nf4"]
"""Of a frozen base: as it is, or in four bits (QLoRA)."""
