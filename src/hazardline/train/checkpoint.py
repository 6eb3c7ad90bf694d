"""The state of a branch in training, as a folder: everything that the rest of the run depends on.

Data order, augmentation, dropout and learning rate are pure functions of the seed and the step, so the step stands for
the state of scheduler and generators. Tensors are safetensors, the rest JSON.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hazardline.errors import UserError
from hazardline.train.checkpoint_store import DamagedCheckpointError
from hazardline.train.document import STATE_NAME, TrainingState

TENSORS_NAME = "state.safetensors"


def save_state(folder: Path, state: TrainingState, tensors: Mapping[str, Tensor]) -> None:
    """Write an updater's tensors and the state into a folder."""
    save_file(dict(tensors), folder / TENSORS_NAME)
    state.write(folder / STATE_NAME)


def load_state(folder: Path, run_digest: str) -> tuple[TrainingState, dict[str, Tensor]]:
    """Read a checkpoint.

    Raises:
        UserError: the checkpoint is of another run.
        DamagedCheckpointError: it cannot be read.
    """
    state = TrainingState.read(folder / STATE_NAME)
    if state.run_digest != run_digest:
        raise UserError(
            f"{folder}: checkpoint of another recipe, data or base (digest {state.run_digest[:12]}, expected "
            f"{run_digest[:12]}); remove it to train anew"
        )
    try:
        return state, load_file(folder / TENSORS_NAME)
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpointError(f"{TENSORS_NAME} cannot be read: {error}") from None
