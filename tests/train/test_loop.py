"""A branch in one process: repeatable to the bit, and a run that was cut off ends as if it had not been."""

import json
from pathlib import Path
from typing import Any

import pytest

from hazardline.errors import UserError
from hazardline.train.checkpoint import TENSORS_NAME
from hazardline.train.document import ADAPTER_FOLDER, OUTCOME_NAME, STATE_NAME, BranchOutcome, TrainingState
from hazardline.train.loop import train_branch
from tests.train.jobs import NUM_STEPS, CutOffError, OneWorker, make_job, small_config

LAST = f"step_{NUM_STEPS:04d}"


def final_state(folder: Path) -> TrainingState:
    return TrainingState.read(folder / LAST / STATE_NAME)


def adapter_bytes(folder: Path) -> bytes:
    return (folder / LAST / ADAPTER_FOLDER / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(base: Path, inputs: dict[str, Path], features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    workers = OneWorker(folder)
    train_branch(make_job(folder / "work", small_config(base), inputs, features), workers)
    assert workers.steps == [3, 6, 9, NUM_STEPS]
    return folder


def test_losses_fall_and_are_told(undisturbed: Path) -> None:
    state = final_state(undisturbed)
    assert state.step == NUM_STEPS == len(state.losses)
    assert state.losses[-1] < state.losses[0]
    lines = [json.loads(line) for line in (undisturbed / "work" / "progress.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines if "loss" in line] == state.losses
    assert [point.step for point in state.validation] == [5, 10, NUM_STEPS]
    assert len(state.validation[0].losses) == 6
    outcome = BranchOutcome.read(undisturbed / LAST / OUTCOME_NAME)
    assert outcome.num_clips == 12 and outcome.num_validation_clips == 3
    assert outcome.self_check.gradient < 1e-5 and outcome.self_check.num_turns == 6


@pytest.mark.parametrize("cut_after", [1, 3])
def test_a_run_that_was_cut_off_ends_with_the_same_losses_and_weights(
    undisturbed: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path, cut_after: int
) -> None:
    job = make_job(tmp_path / "work", small_config(base), inputs, features)
    with pytest.raises(CutOffError):
        train_branch(job, OneWorker(tmp_path, cut_after))
    workers = OneWorker(tmp_path)
    train_branch(job, workers)
    assert workers.steps[0] == 3 * (cut_after + 1)
    assert final_state(tmp_path).losses == final_state(undisturbed).losses
    assert final_state(tmp_path).validation == final_state(undisturbed).validation
    assert adapter_bytes(tmp_path) == adapter_bytes(undisturbed)
    weights = (LAST, TENSORS_NAME)
    assert tmp_path.joinpath(*weights).read_bytes() == undisturbed.joinpath(*weights).read_bytes()


def test_a_finished_run_commits_its_outcome_again(
    undisturbed: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    before = adapter_bytes(undisturbed)
    workers = OneWorker(undisturbed)
    train_branch(make_job(tmp_path, small_config(base), inputs, features), workers)
    assert workers.steps == [NUM_STEPS] and adapter_bytes(undisturbed) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"loss": "tokens"}, {"precision": "bf16"}])
def test_seed_loss_and_precision_count(
    undisturbed: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    config = small_config(base, num_steps=2, **change)
    train_branch(make_job(tmp_path / "work", config, inputs, features), OneWorker(tmp_path))
    losses = TrainingState.read(tmp_path / "step_0002" / STATE_NAME).losses
    assert losses != final_state(undisturbed).losses[:2]
    if change == {"precision": "bf16"}:
        assert losses[0] == pytest.approx(final_state(undisturbed).losses[0], rel=0.02)


def test_a_checkpoint_of_another_run_is_refused(
    undisturbed: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path, small_config(base), inputs, features).model_copy(update={"run_digest": "1" * 64})
    with pytest.raises(UserError, match="checkpoint of another recipe, data or base"):
        train_branch(job, OneWorker(undisturbed))


def test_a_damaged_checkpoint_is_refused(
    undisturbed: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "step_0003"
    broken.mkdir()
    (broken / STATE_NAME).write_bytes((undisturbed / "step_0003" / STATE_NAME).read_bytes())
    (broken / TENSORS_NAME).write_bytes((undisturbed / "step_0003" / TENSORS_NAME).read_bytes()[:500])
    with pytest.raises(UserError, match=r"cannot be read .* remove the checkpoint"):
        train_branch(make_job(tmp_path / "work", small_config(base), inputs, features), OneWorker(tmp_path))
