"""A branch in one process: repeatable to the bit, and a run that was cut off ends as if it had not been."""

import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file

from hazardline.errors import UserError
from hazardline.progress import SilentReporter
from hazardline.tables import SCENES, read_table
from hazardline.train import checkpoint_store, loop
from hazardline.train.checkpoint import TENSORS_NAME
from hazardline.train.checkpoint_store import FINAL_NAME, FolderStore
from hazardline.train.document import (
    ADAPTER_FOLDER,
    OUTCOME_NAME,
    STATE_NAME,
    BranchJob,
    BranchOutcome,
    TrainingState,
)
from hazardline.train.early_stopping import best
from hazardline.train.encode import encode_clips
from hazardline.train.features import all_variants, sources_of
from hazardline.train.loop import train_branch
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from tests.train.jobs import NUM_STEPS, CutOffError, OneWorker, WatchedStore, make_job, small_config

STEPS = ["step-00000003", "step-00000006", "step-00000009"]


def final_state(folder: Path) -> TrainingState:
    return TrainingState.read(folder / FINAL_NAME / STATE_NAME)


def adapter_bytes(folder: Path) -> bytes:
    return (folder / FINAL_NAME / ADAPTER_FOLDER / "adapter_model.safetensors").read_bytes()


def notes(job: BranchJob) -> list[str]:
    events = [json.loads(line) for line in job.progress.read_text().splitlines()]
    return [event["note"] for event in events if "note" in event]


def assert_same_end(folder: Path, undisturbed: Path) -> None:
    assert final_state(folder).losses == final_state(undisturbed).losses
    assert final_state(folder).validation == final_state(undisturbed).validation
    assert adapter_bytes(folder) == adapter_bytes(undisturbed)
    tensors = Path(FINAL_NAME, TENSORS_NAME)
    assert (folder / tensors).read_bytes() == (undisturbed / tensors).read_bytes()


@pytest.fixture(scope="module")
def undisturbed(base: Path, inputs: dict[str, Path], features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    store = WatchedStore(folder / "checkpoints")
    assert train_branch(make_job(folder, small_config(base), inputs, features), OneWorker(), store)
    assert store.kept == [*STEPS, FINAL_NAME]
    return store.root


@pytest.fixture
def job(base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path) -> BranchJob:
    return make_job(tmp_path, small_config(base), inputs, features)


@pytest.fixture
def folder(job: BranchJob) -> Path:
    return Path(job.checkpoints)


def test_losses_fall_and_are_told(undisturbed: Path) -> None:
    state = final_state(undisturbed)
    assert state.step == NUM_STEPS == len(state.losses)
    assert state.losses[-1] < state.losses[0]
    lines = [json.loads(line) for line in (undisturbed.parent / "progress.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines if "loss" in line] == state.losses
    assert [point.step for point in state.validation] == [5, 10, NUM_STEPS]
    assert len(state.validation[0].losses) == 6
    outcome = BranchOutcome.read(undisturbed / FINAL_NAME / OUTCOME_NAME)
    assert outcome.num_clips == 12 and outcome.num_validation_clips == 3 and outcome.adapter_step == NUM_STEPS
    assert outcome.self_check.gradient < 1e-5 and outcome.self_check.num_turns == 6


def test_only_the_newest_checkpoints_are_kept(undisturbed: Path) -> None:
    assert sorted(path.name for path in undisturbed.iterdir()) == [FINAL_NAME, *STEPS[1:]]


@pytest.mark.parametrize("cut_after", [1, 3])
def test_a_run_that_was_cut_off_ends_with_the_same_losses_and_weights(
    undisturbed: Path, job: BranchJob, folder: Path, cut_after: int
) -> None:
    with pytest.raises(CutOffError):
        train_branch(job, OneWorker(), WatchedStore(folder, cut_after))
    store = WatchedStore(folder)
    assert train_branch(job, OneWorker(), store)
    assert store.kept == [*STEPS[cut_after:], FINAL_NAME]
    assert f"goes on from the checkpoint of step {3 * cut_after}" in notes(job)
    assert_same_end(folder, undisturbed)


def test_a_finished_branch_is_left_as_it_is(undisturbed: Path, job: BranchJob) -> None:
    store = WatchedStore(undisturbed)
    assert train_branch(job, OneWorker(), store)
    assert store.kept == []


def test_a_branch_that_is_asked_to_stop_saves_first(undisturbed: Path, job: BranchJob, folder: Path) -> None:
    class AskedToStop(OneWorker):
        """Is asked in the middle of the fifth step."""

        sums = 0

        def sum(self, tensor: Any) -> None:
            self.sums += 1
            if self.sums == 18:
                job.stop_request.touch()

    assert not train_branch(job, AskedToStop(), FolderStore(folder))
    assert FolderStore(folder).names() == [STEPS[0], "step-00000005"]
    job.stop_request.unlink()
    assert train_branch(job, OneWorker(), FolderStore(folder))
    assert_same_end(folder, undisturbed)


def test_a_branch_that_is_asked_to_stop_before_its_first_step_leaves_nothing(job: BranchJob, folder: Path) -> None:
    job.stop_request.touch()
    assert not train_branch(job, OneWorker(), FolderStore(folder))
    assert FolderStore(folder).names() == []


@pytest.mark.parametrize("harm", ["flip", "cut", "lose", "manifest"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    undisturbed: Path, job: BranchJob, folder: Path, harm: str
) -> None:
    with pytest.raises(CutOffError):
        train_branch(job, OneWorker(), WatchedStore(folder, 2))
    tensors = folder / STEPS[1] / TENSORS_NAME
    data = bytearray(tensors.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
        tensors.write_bytes(data)
    elif harm == "cut":
        tensors.write_bytes(data[:-7])
    elif harm == "lose":
        tensors.unlink()
    else:
        (folder / STEPS[1] / checkpoint_store.MANIFEST_NAME).write_text("{")
    store = WatchedStore(folder)
    assert train_branch(job, OneWorker(), store)
    said = notes(job)
    assert any(f"checkpoint {STEPS[1]} is damaged" in note for note in said)
    assert "goes on from the checkpoint of step 3" in said
    assert store.kept == [*STEPS[1:], FINAL_NAME]
    assert_same_end(folder, undisturbed)


def test_half_a_checkpoint_is_swept_away(undisturbed: Path, job: BranchJob, folder: Path) -> None:
    with pytest.raises(CutOffError):
        train_branch(job, OneWorker(), WatchedStore(folder, 1))
    half = folder / ".making-step-00000006-0a1b2c3d"
    half.mkdir()
    (half / TENSORS_NAME).write_bytes(b"half")
    assert train_branch(job, OneWorker(), FolderStore(folder))
    assert any(half.name in note for note in notes(job)) and not half.exists()
    assert_same_end(folder, undisturbed)


class FullDisk(FolderStore):
    """Has no room for some checkpoints."""

    def __init__(self, root: Path, refused: list[str]) -> None:
        super().__init__(root)
        self._refused = refused

    def commit(self, name: str, source: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if name in self._refused:
                patch.setattr(checkpoint_store.shutil, "copytree", no_room)
            super().commit(name, source)


def no_room(source: Path, target: Path) -> None:
    target.mkdir()
    (target / STATE_NAME).write_text("{")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(undisturbed: Path, job: BranchJob, folder: Path) -> None:
    assert train_branch(job, OneWorker(), FullDisk(folder, STEPS[1:]))
    said = [note for note in notes(job) if "No space left on device" in note]
    assert len(said) == 2 and "no checkpoint of step 6" in said[0]
    assert sorted(path.name for path in folder.iterdir()) == [FINAL_NAME, STEPS[0]]
    assert_same_end(folder, undisturbed)


def test_a_disk_that_has_no_room_for_the_adapter_is_an_error_that_can_be_mended(
    undisturbed: Path, job: BranchJob, folder: Path
) -> None:
    with pytest.raises(UserError, match=r"could not be kept .*No space left on device.*; make room and run again"):
        train_branch(job, OneWorker(), FullDisk(folder, [FINAL_NAME]))
    store = WatchedStore(folder)
    assert train_branch(job, OneWorker(), store)
    assert store.kept == [FINAL_NAME] and "goes on from the checkpoint of step 9" in notes(job)
    assert_same_end(folder, undisturbed)


def test_a_branch_that_does_not_fit_is_refused_before_its_first_step(
    job: BranchJob, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.psutil, "virtual_memory", lambda: SimpleNamespace(total=1_000_000))
    with pytest.raises(UserError, match=r"would need \d+ MB \(frozen weights .*the device has 1 MB"):
        train_branch(job, OneWorker(), FolderStore(folder))
    assert not job.progress.exists()


def test_a_run_without_a_cache_takes_the_same_steps(
    undisturbed: Path, job: BranchJob, base: Path, inputs: dict[str, Path], tmp_path: Path
) -> None:
    """Encoding once a visit, with the budget at nothing: the disk is spared, and not one bit differs."""
    scenes = read_table(SCENES, inputs["ingest"])
    variants = all_variants(Layout.read(base / LAYOUT_NAME), phase=True, mirror=True)
    sources = sources_of(scenes, {row["clip_id"] for row in scenes}, variants)
    encode_clips(base, sources, tmp_path / "none", 1, SilentReporter(), budget_bytes=0)
    changed = job.model_copy(update={"features": tmp_path / "none", "feature_cache": tmp_path / "none"})
    assert train_branch(changed, OneWorker(), FolderStore(Path(job.checkpoints)))
    assert_same_end(Path(job.checkpoints), undisturbed)


def test_lora_may_be_all_that_is_trained(base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path) -> None:
    """HazardNet's way: two of the linear layers, and the projector as it is."""
    config = small_config(base, train_projector=False, lora={"rank": 4, "targets": ["q_proj", "v_proj"]})
    job = make_job(tmp_path, config, inputs, features)
    assert train_branch(job, OneWorker(), FolderStore(Path(job.checkpoints)))
    adapter = load_file(Path(job.checkpoints) / FINAL_NAME / ADAPTER_FOLDER / "adapter_model.safetensors")
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in adapter} == {"q_proj", "v_proj"}
    state = final_state(Path(job.checkpoints))
    assert state.losses[-1] < state.losses[0]


def test_early_stopping_ends_a_branch_and_takes_its_best_weights(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    config = small_config(
        base, num_steps=40, eval_every_steps=2, learning_rate=0.3, early_stopping={"patience": 3, "threshold": 0.0}
    )
    job = make_job(tmp_path, config, inputs, features)
    store = FolderStore(Path(job.checkpoints))
    assert train_branch(job, OneWorker(), store)
    state = final_state(Path(job.checkpoints))
    outcome = BranchOutcome.read(Path(job.checkpoints) / FINAL_NAME / OUTCOME_NAME)
    assert state.step < 40 and state.step == state.validation[-1].step
    assert outcome.adapter_step == best(state.validation).step == state.step - 6
    assert f"step-{outcome.adapter_step:08d}" in store.names()


@pytest.mark.parametrize("change", [{"seed": 1}, {"loss": "tokens"}, {"precision": "bf16"}])
def test_seed_loss_and_precision_count(
    undisturbed: Path, base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    job = make_job(tmp_path, small_config(base, num_steps=2, **change), inputs, features)
    train_branch(job, OneWorker(), FolderStore(Path(job.checkpoints)))
    losses = final_state(Path(job.checkpoints)).losses
    assert losses != final_state(undisturbed).losses[:2]
    if change == {"precision": "bf16"}:
        assert losses[0] == pytest.approx(final_state(undisturbed).losses[0], rel=0.02)


def test_a_checkpoint_of_another_run_is_refused(job: BranchJob, folder: Path) -> None:
    with pytest.raises(CutOffError):
        train_branch(job, OneWorker(), WatchedStore(folder, 1))
    other = job.model_copy(update={"run_digest": "1" * 64})
    with pytest.raises(UserError, match="checkpoint of another recipe, data or base"):
        train_branch(other, OneWorker(), FolderStore(folder))
