"""QLoRA on a CPU: a base in four bits, moments in eight, and everything that holds without them."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hazardline.errors import UserError
from hazardline.train.base import POCKET_CHECKPOINT
from hazardline.train.checkpoint_store import FINAL_NAME, FolderStore
from hazardline.train.config import TrainConfig
from hazardline.train.document import ADAPTER_FOLDER, OUTCOME_NAME, STATE_NAME, BranchOutcome, TrainingState
from hazardline.train.loop import train_branch
from hazardline.vlm.model import load_base, load_branches
from tests.train.jobs import NUM_STEPS, CutOffError, OneWorker, WatchedStore, make_job, small_config

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"),
    # bitsandbytes 0.50 compiles its CPU kernels with an interface that torch 2.14 has renamed
    pytest.mark.filterwarnings("ignore::FutureWarning:torch.*"),
]
SETTINGS: dict[str, Any] = {"quantisation": "nf4", "optimizer": "adamw_8bit", "gradient_checkpointing": True}


def weights_bytes(model: torch.nn.Module) -> int:
    """Of parameters and buffers, with the constants of quantised ones."""
    total = sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()])
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        for tensor in (state.absmax, state.state2.absmax) if state is not None else ():
            total += tensor.numel() * tensor.element_size()
    return total


def test_the_base_takes_less_than_two_fifths() -> None:
    whole, four_bits = load_base(POCKET_CHECKPOINT), load_base(POCKET_CHECKPOINT, quantisation="nf4")
    assert weights_bytes(four_bits) < 0.4 * weights_bytes(whole)
    layers = four_bits.model.language_model.layers[0]
    assert layers.self_attn.q_proj.weight.quant_type == "nf4" and layers.mlp.up_proj.weight.quant_state.nested
    assert four_bits.model.vision_model.encoder.layers[0].self_attn.q_proj.weight.dtype == torch.float32


@pytest.fixture(scope="module")
def trained(base: Path, inputs: dict[str, Path], features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qlora")
    job = make_job(folder, small_config(base, **SETTINGS), inputs, features)
    assert train_branch(job, OneWorker(), FolderStore(Path(job.checkpoints)))
    return Path(job.checkpoints)


def test_losses_fall_after_a_check_that_is_as_strict(trained: Path) -> None:
    state = TrainingState.read(trained / FINAL_NAME / STATE_NAME)
    assert state.step == NUM_STEPS and state.losses[-1] < state.losses[0]
    check = BranchOutcome.read(trained / FINAL_NAME / OUTCOME_NAME).self_check
    assert check.gradient < 1e-5 and check.loss < 1e-6


def test_the_adapter_fits_the_float_base(trained: Path, base: Path) -> None:
    folder = trained / FINAL_NAME / ADAPTER_FOLDER
    model = load_branches(base, {"linguistic": folder})
    assert model.active_adapter == "linguistic"
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 16


def test_a_run_that_was_cut_off_ends_the_same(
    trained: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path, small_config(base, **SETTINGS), inputs, features)
    store = Path(job.checkpoints)
    with pytest.raises(CutOffError):
        train_branch(job, OneWorker(), WatchedStore(store, 2))
    assert train_branch(job, OneWorker(), FolderStore(store))
    name = Path(FINAL_NAME, ADAPTER_FOLDER, "adapter_model.safetensors")
    assert (store / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantisation": "nf4", "parallelism": "zero3"}, "zero3 divides frozen weights, which nf4 cannot"),
        ({"optimizer": "adamw_8bit", "parallelism": "zero1"}, "adamw_8bit needs parallelism replicas"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainConfig.parse(change, "recipe")
