"""The state of a branch in training, as a folder: everything that the rest of the run depends on.

Data order, augmentation, dropout and learning rate are pure functions of the seed and the step, so the step stands for
the state of scheduler and generators. Tensors are safetensors, the rest JSON.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hazardline.errors import UserError
from hazardline.train.document import STATE_NAME, TrainingState

TENSORS_NAME = "state.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters by name, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def save_state(folder: Path, state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write parameters, the optimizer's moments and the state into a folder."""
    tensors = {}
    for name, parameter in trainable(model).items():
        tensors[f"parameter/{name}"] = parameter.detach().contiguous()
        for moment in _MOMENTS:
            held = optimizer.state.get(parameter, {})
            tensors[f"{moment}/{name}"] = held[moment].contiguous() if held else torch.zeros_like(parameter)
    save_file(tensors, folder / TENSORS_NAME)
    state.write(folder / STATE_NAME)


def load_state(folder: Path, run_digest: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Read a checkpoint into a model and its optimizer.

    Raises:
        UserError: the checkpoint is damaged or of another run.
    """
    state = TrainingState.read(folder / STATE_NAME)
    if state.run_digest != run_digest:
        raise UserError(
            f"{folder}: checkpoint of another recipe, data or base (digest {state.run_digest[:12]}, expected "
            f"{run_digest[:12]}); remove it to train anew"
        )
    try:
        tensors = load_file(folder / TENSORS_NAME)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder / TENSORS_NAME}: cannot be read ({error}); remove the checkpoint") from None
    _restore(tensors, state.step, model, optimizer)
    return state


def _restore(
    tensors: Mapping[str, torch.Tensor], step: int, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(tensors[f"parameter/{name}"])
            held = {moment: tensors[f"{moment}/{name}"].clone() for moment in _MOMENTS}
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **held}
