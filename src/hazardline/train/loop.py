"""The story of one branch: load, check, take steps, measure, save. What runs it (Ray, a test) comes in as `Workers`."""

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import psutil
import torch
from peft import PeftModel
from torch import Tensor

from hazardline.errors import UserError
from hazardline.mirror.clips import make_present
from hazardline.process_memory import return_freed_memory
from hazardline.suites import TRAINED_IN_ANY
from hazardline.tables import QA, SCENES, read_table
from hazardline.train import schedule
from hazardline.train.build import Learner, load_model, make_learner
from hazardline.train.checkpoint import load_state, save_state
from hazardline.train.checkpoint_store import (
    FINAL_NAME,
    STEP_PREFIX,
    CheckpointStore,
    CheckpointWriteError,
    newest,
    step_name,
)
from hazardline.train.clips import Clip, choose, load_clips
from hazardline.train.dataset import RowMaker, time_targets
from hazardline.train.document import (
    ADAPTER_FOLDER,
    OUTCOME_NAME,
    BranchJob,
    BranchOutcome,
    SelfCheck,
    TrainingState,
    ValidationLosses,
)
from hazardline.train.early_stopping import best, is_over
from hazardline.train.encoder import VisitEncoder
from hazardline.train.features import FeatureReader
from hazardline.train.loss import LOGITS_PER_PIECE
from hazardline.train.memory_plan import MemoryPlan, check_memory
from hazardline.train.model_shape import ModelShape
from hazardline.train.prefix import ClipRow
from hazardline.train.selfcheck import self_check
from hazardline.train.step import Objective, losses_by_task, optimizer_step
from hazardline.train.updater import trainable
from hazardline.vlm.model import core_model, save_branch
from hazardline.vlm.pixels import read_patches
from hazardline.vlm.text import Prompter
from hazardline.vlm.whitening import Whitening, enter_white, native_weights

_ORDER, _VISIT, _WEIGHTS = 1, 2, 3  # purposes of random numbers
_STEPS_PER_TRIM = 4


class Workers(Protocol):
    """The workers of a branch, of which this process is one."""

    rank: int
    count: int

    def sum(self, tensor: Tensor) -> None:
        """Add up a tensor over all workers, in place."""


@dataclass
class Branch:
    """A branch in training."""

    job: BranchJob
    model: PeftModel
    maker: RowMaker
    clips: list[Clip]
    validation: list[Clip]
    objective: Objective
    num_steps: int
    whitening: Whitening | None
    """White coordinates of the base's features, in which the projector is trained; None where the base has none."""


def train_branch(job: BranchJob, workers: Workers, store: CheckpointStore) -> bool:
    """Train one branch to its end; the final checkpoint also holds the adapter and the outcome.

    A run that was cut off goes on from its newest whole checkpoint and ends with the same weights and losses.

    Returns:
        False where it was asked to stop: a checkpoint of the step that it had reached is kept, if it had taken one.

    Raises:
        UserError: the inputs do not fit together, or the self-check finds a difference.
    """
    torch.set_num_threads(job.config.threads_per_worker)
    if FINAL_NAME in store.names():
        return True
    branch = load_branch(job)
    memory = _plan_memory(branch)
    check = _check(branch) if workers.rank == 0 else None
    if branch.whitening is not None:  # after the check, which compares native weights on native features
        enter_white(branch.model, branch.whitening)
        branch.maker.whitening = branch.whitening
    learner = make_learner(branch.model, branch.objective, job.config, job.branch, workers.count, workers.sum)
    state = _resume(branch, learner, workers, store)
    while not _is_over(branch, state):
        if _is_asked_to_stop(job, workers):
            if state.step:  # before the first there is nothing to go on from
                _commit(branch, learner, state, workers, store)
            return False
        state = _take_step(branch, learner, state, workers)
        is_measured = state.step == branch.num_steps or state.step % job.config.eval_every_steps == 0
        if is_measured:
            state = _measure(branch, state, workers)
        may_be_best = is_measured and job.config.early_stopping is not None
        if may_be_best or (state.step % job.config.checkpoint_every_steps == 0 and state.step < branch.num_steps):
            _commit(branch, learner, state, workers, store)
    _finish(branch, learner, state, workers, store, check, memory)
    return True


def _resume(branch: Branch, learner: Learner, workers: Workers, store: CheckpointStore) -> TrainingState:
    """The state of the newest whole checkpoint, loaded on all workers; the first worker chooses it."""
    job = branch.job
    state = TrainingState(branch=job.branch, step=0, run_digest=job.run_digest, losses=[])
    tensors: dict[str, Tensor] = {}

    def load(folder: Path) -> None:
        nonlocal state, tensors
        state, tensors = load_state(folder, job.run_digest)

    if workers.rank == 0:
        for name in store.sweep():
            job.tell({"note": f"removed {name}, a checkpoint that was never finished"})
        if newest(store, STEP_PREFIX, load, lambda text: job.tell({"note": text})) is not None:
            job.tell({"note": f"goes on from the checkpoint of step {state.step}"})
    chosen = torch.tensor([float(state.step) if workers.rank == 0 else 0.0])
    workers.sum(chosen)
    if workers.rank != 0 and chosen.item():
        with store.fetch(step_name(int(chosen.item()))) as folder:
            load(folder)
    if tensors:
        learner.updater.load(tensors)
    return state


def _is_over(branch: Branch, state: TrainingState) -> bool:
    stopping = branch.job.config.early_stopping
    if state.step >= branch.num_steps:
        return True
    return stopping is not None and is_over(state.validation, stopping.patience, stopping.threshold)


def _is_asked_to_stop(job: BranchJob, workers: Workers) -> bool:
    """Whether the first worker sees the request: all workers must end at the same step."""
    asked = torch.tensor([float(workers.rank == 0 and job.stop_request.exists())])
    workers.sum(asked)
    return bool(asked.item())


def load_branch(job: BranchJob) -> Branch:
    """Model and data of a branch at step 0."""
    config = job.config
    prompter = Prompter.load(job.base)
    model = load_model(job.base, job.branch, config, _seed(job, _WEIGHTS))
    text: Any = core_model(model).config.text_config
    targets = time_targets(prompter, text.vocab_size, config.time_target_sigma_steps)
    videos = {row["clip_id"]: (Path(row["video_uri"]), row["sha256"]) for row in read_table(SCENES, job.ingest)}
    otherwise = VisitEncoder(job.base, videos)
    reader = FeatureReader(
        job.features, prompter.layout, job.feature_cache, otherwise, lambda text: job.tell({"note": text})
    )
    maker = RowMaker(prompter, reader, config, config.weights_of(job.branch))
    clips, validation = (
        [clip for clip in load_clips(job.ingest, job.synthesize, job.branch, split) if maker.asked(clip)]
        for split in ("train", "validation")
    )
    if not clips:
        raise UserError(
            f"{job.synthesize / QA.file_name}: no training clip has a question of the {job.branch} branch; expected "
            f"{', '.join(TRAINED_IN_ANY[job.branch])} in the split train: give more clips, or leave the branch out"
        )
    return Branch(
        job,
        model,
        maker,
        clips,
        choose(validation, config.max_validation_clips),
        Objective.of(config, targets, core_model(model).device.type),
        config.steps_of(job.branch, len(clips)),
        Whitening.load(job.base),
    )


def step_rows(branch: Branch, step: int, rank: int, count: int) -> list[tuple[ClipRow, int]]:
    """The rows of one worker at a step, with the seeds of their dropout: a pure function of seed and step."""
    job = branch.job
    per_step = job.config.branch_clips_per_step(job.branch)
    visits = schedule.visits_of_step(step, len(branch.clips), per_step, _seeds(job, _ORDER))
    rows = []
    for epoch, index in visits[rank::count]:
        generator = np.random.default_rng([*_seeds(job, _VISIT), epoch, index])
        row = branch.maker.augmented(branch.clips[index], generator)
        rows.append((row, int(generator.integers(2**62))))
    return rows


def _take_step(branch: Branch, learner: Learner, state: TrainingState, workers: Workers) -> TrainingState:
    begin = time.perf_counter()
    job, config = branch.job, branch.job.config
    rate = schedule.learning_rate(
        state.step,
        branch.num_steps,
        config.branch_learning_rate(job.branch),
        config.warmup_of(branch.num_steps),
        config.final_rate_share,
        config.schedule,
    )
    result = optimizer_step(
        learner.compute,
        learner.updater,
        step_rows(branch, state.step, workers.rank, workers.count),
        branch.objective,
        rate,
        learner.passes,
        workers.sum,
    )
    if state.step % _STEPS_PER_TRIM == 0:
        return_freed_memory()
    state.losses.append(result.loss)
    state = state.model_copy(
        update={
            "step": state.step + 1,
            "busy_s": state.busy_s + time.perf_counter() - begin,
            "num_clips": state.num_clips + config.branch_clips_per_step(job.branch),
            "num_answer_tokens": state.num_answer_tokens + result.num_answer_tokens,
        }
    )
    if workers.rank == 0:
        job.tell({"step": state.step, "num_steps": branch.num_steps, "loss": result.loss, "learning_rate": rate})
    return state


def _measure(branch: Branch, state: TrainingState, workers: Workers) -> TrainingState:
    """Add validation losses by task."""
    if not branch.validation:
        return state
    rows = [
        (branch.maker.plain(clip), [question.task for question in branch.maker.asked(clip)])
        for clip in branch.validation[workers.rank :: workers.count]
    ]
    tasks = TRAINED_IN_ANY[branch.job.branch]
    losses = losses_by_task(branch.model, rows, branch.objective, tasks, workers.sum)
    point = ValidationLosses(step=state.step, losses=losses)
    if workers.rank == 0:
        branch.job.tell({"step": state.step, "num_steps": branch.num_steps, "validation": losses})
    return state.model_copy(update={"validation": [*state.validation, point]})


def _commit(branch: Branch, learner: Learner, state: TrainingState, workers: Workers, store: CheckpointStore) -> None:
    """Keep a checkpoint of this step. Where that fails, training goes on and can fall back on the one before."""
    tensors = learner.updater.state()
    if workers.rank != 0:
        return
    with TemporaryDirectory(prefix="hazardline-checkpoint-") as name:
        try:
            save_state(Path(name), state, tensors)
            store.commit(step_name(state.step), Path(name))
        except (CheckpointWriteError, OSError) as error:
            branch.job.tell({"note": f"no checkpoint of step {state.step}: {error}; training goes on without it"})
            return
    kept = {step_name(best(state.validation).step)} if branch.job.config.early_stopping and state.validation else set()
    steps = [name for name in store.names() if name.startswith(STEP_PREFIX)]
    for name in steps[: -branch.job.config.keep_checkpoints]:
        if name not in kept:
            store.remove(name)


def _finish(
    branch: Branch,
    learner: Learner,
    state: TrainingState,
    workers: Workers,
    store: CheckpointStore,
    check: SelfCheck | None,
    memory: MemoryPlan,
) -> None:
    """Keep the final checkpoint: state, adapter and outcome. The first worker writes it, from whole tensors."""
    tensors, adapter_step = learner.updater.state(), state.step
    if workers.rank != 0:
        return
    assert check is not None
    with TemporaryDirectory(prefix="hazardline-checkpoint-") as name:
        folder = Path(name)
        save_state(folder, state, tensors)
        kept = set(store.names())
        measured = [point for point in state.validation if step_name(point.step) in kept]
        if branch.job.config.early_stopping is not None and measured:
            adapter_step = best(measured).step
            with store.fetch(step_name(adapter_step)) as saved:
                tensors = load_state(saved, branch.job.run_digest)[1]
        _save_adapter(branch, tensors, folder / ADAPTER_FOLDER)
        _outcome(branch, tensors, adapter_step, check, memory).write(folder / OUTCOME_NAME)
        try:
            store.commit(FINAL_NAME, folder)
        except CheckpointWriteError as error:
            raise UserError(
                f"train: the finished {branch.job.branch} branch could not be kept ({error}); make room and run again: "
                "it goes on from its last checkpoint"
            ) from None


def _save_adapter(branch: Branch, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write whole weights in PEFT's form, on the CPU and apart from a model that other workers may share."""
    model = branch.model
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.data = tensors[f"parameter/model.{name}"].to(parameter.device)
    with native_weights(model, branch.whitening):
        save_branch(model, branch.job.branch, folder)


def _outcome(
    branch: Branch, tensors: Mapping[str, Tensor], adapter_step: int, check: SelfCheck, memory: MemoryPlan
) -> BranchOutcome:
    return BranchOutcome(
        num_clips=len(branch.clips),
        num_steps=branch.num_steps,
        adapter_step=adapter_step,
        num_validation_clips=len(branch.validation),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
        trainable_parameters=sum(value.numel() for name, value in tensors.items() if name.startswith("parameter/")),
        self_check=check,
        planned_memory_mb=round(memory.total / 1e6, 1),
    )


def _plan_memory(branch: Branch) -> MemoryPlan:
    """What the largest row of the branch needs; UserError where this worker's device has less."""
    job, core = branch.job, core_model(branch.model)
    largest = max((branch.maker.size(clip) for clip in branch.clips), key=lambda size: size.tokens)
    is_gpu = core.device.type == "cuda"
    room: int = torch.cuda.get_device_properties(core.device).total_memory if is_gpu else psutil.virtual_memory().total
    is_half = is_gpu and job.config.precision == "bf16"
    shape = ModelShape.of(core)
    return check_memory(shape, job.config, job.branch, largest, room, is_half, LOGITS_PER_PIECE)


def _check(branch: Branch) -> SelfCheck:
    """Run the self-check on the first clip with the most questions."""
    clip = max(branch.clips, key=lambda clip: len(branch.maker.asked(clip)))
    scene = next(row for row in read_table(SCENES, branch.job.ingest) if row["clip_id"] == clip.clip_id)
    layout = Prompter.load(branch.job.base).layout
    make_present([(Path(scene["video_uri"]), scene["sha256"])])
    patches, _ = read_patches(Path(scene["video_uri"]), layout)
    check = self_check(branch.model, clip.clip_id, branch.maker.plain(clip), torch.from_numpy(patches), layout)
    check.refuse_differences()
    return check


def _seeds(job: BranchJob, purpose: int) -> list[int]:
    return [job.config.seed, list(TRAINED_IN_ANY).index(job.branch), purpose]


def _seed(job: BranchJob, purpose: int) -> int:
    return int(np.random.SeedSequence(_seeds(job, purpose)).generate_state(1)[0])
