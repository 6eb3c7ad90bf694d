"""Dropout whose mask costs a byte of randomness an element: torch's takes a fifth of a training step on a CPU."""

import torch
from torch import Tensor, nn

_LEVELS = 256


class ByteDropout(nn.Module):
    """Zeroes elements with a probability rounded to 1/256 and scales the others so that the mean stays.

    Draws from torch's global generator, eight elements from one 64-bit number.
    """

    def __init__(self, probability: float) -> None:
        """A probability below 1; what rounds to 0 drops nothing."""
        super().__init__()
        self._kept = _LEVELS - round(probability * _LEVELS)
        if not 0 < self._kept <= _LEVELS:
            raise ValueError(f"dropout of {probability}: expected at least 0 and less than 1")

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of any shape and floating type, on the CPU."""
        if not self.training or self._kept == _LEVELS:
            return inputs
        words = torch.empty(-(-inputs.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        mask = words.view(torch.uint8)[: inputs.numel()].view(inputs.shape) < self._kept
        return inputs * (mask * (_LEVELS / self._kept)).to(inputs.dtype)


def use_byte_dropout(model: nn.Module) -> None:
    """Put `ByteDropout` in the place of torch's dropout in all LoRA layers of a PEFT model."""
    for module in model.modules():
        dropouts = getattr(module, "lora_dropout", None)
        if isinstance(dropouts, nn.ModuleDict):
            for name, dropout in dropouts.items():
                if isinstance(dropout, nn.Dropout):
                    dropouts[name] = ByteDropout(dropout.p)
