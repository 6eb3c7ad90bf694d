"""The story of one branch: load, check, take steps, measure, save. What runs it (Ray, a test) comes in as `Workers`."""

import json
import os
import resource
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from hazardline.errors import UserError
from hazardline.process_memory import return_freed_memory
from hazardline.tables import QA, SCENES, read_table
from hazardline.tasks import TRAINED_ON
from hazardline.train import schedule
from hazardline.train.checkpoint import load_state, save_state, trainable
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
from hazardline.train.dropout import use_byte_dropout
from hazardline.train.features import FeatureReader
from hazardline.train.selfcheck import self_check
from hazardline.train.step import Objective, losses_by_task, optimizer_step
from hazardline.vlm.model import LoraSettings, add_branch, load_base, save_branch
from hazardline.vlm.pixels import read_patches
from hazardline.vlm.text import Prompter
from hazardline.vlm.tree import ClipRow
from hazardline.vlm.whitening import Whitening, enter_white, native_weights

_ORDER, _VISIT, _WEIGHTS = 1, 2, 3  # purposes of random numbers
_STEPS_PER_TRIM = 4


class Workers(Protocol):
    """The workers of a branch, of which this process is one."""

    rank: int
    count: int

    def sum(self, tensor: Tensor) -> None:
        """Add up a tensor over all workers, in place."""

    def last_checkpoint(self) -> AbstractContextManager[Path | None]:
        """The newest committed checkpoint as a local folder; None at the first start."""

    def commit(self, folder: Path | None, metrics: Mapping[str, float]) -> None:
        """Keep a checkpoint. Every worker calls it at the same step; only rank 0 brings a folder."""


@dataclass
class Branch:
    """A branch in training."""

    job: BranchJob
    model: PeftModel
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter]
    maker: RowMaker
    clips: list[Clip]
    validation: list[Clip]
    objective: Objective
    num_steps: int
    whitening: Whitening | None
    """White coordinates of the base's features, in which the projector is trained; None where the base has none."""


def train_branch(job: BranchJob, workers: Workers) -> None:
    """Train one branch to its last step; the final checkpoint also holds the adapter and the outcome.

    A run that was cut off goes on from its last checkpoint and ends with the same weights and losses.

    Raises:
        UserError: the inputs do not fit together, or the self-check finds a difference.
    """
    torch.set_num_threads(job.config.threads_per_worker)
    branch = load_branch(job)
    check = _check(branch) if workers.rank == 0 else None
    if branch.whitening is not None:  # after the check, which compares native weights on native features
        enter_white(branch.model, branch.whitening)
        branch.maker.whitening = branch.whitening
    with workers.last_checkpoint() as folder:
        state = (
            TrainingState(branch=job.branch, step=0, run_digest=job.run_digest, losses=[])
            if folder is None
            else load_state(folder, job.run_digest, branch.model, branch.optimizer)
        )
    while state.step < branch.num_steps:
        state = _take_step(branch, state, workers)
        is_last = state.step == branch.num_steps
        if is_last or state.step % job.config.eval_every_steps == 0:
            state = _measure(branch, state, workers)
        if not is_last and state.step % job.config.checkpoint_every_steps == 0:
            _commit(branch, state, workers, None)
    _commit(branch, state, workers, check)


def load_branch(job: BranchJob) -> Branch:
    """Model, optimizer and data of a branch at step 0."""
    config = job.config
    prompter = Prompter.load(job.base)
    base = load_base(job.base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(job, _WEIGHTS))
        lora = config.branch_lora(job.branch)
        model = add_branch(base, job.branch, LoraSettings(lora.rank, lora.alpha, lora.dropout))
    use_byte_dropout(model)
    if config.precision == "bf16":
        _keep_bf16(model)
    model.train()
    parameters = list(trainable(model).values())
    optimizer = torch.optim.AdamW(
        parameters, lr=config.branch_learning_rate(job.branch), weight_decay=config.weight_decay, fused=True
    )
    text: Any = base.config.text_config
    targets = time_targets(prompter, text.vocab_size, config.time_target_sigma_steps)
    maker = RowMaker(prompter, FeatureReader(job.features, prompter.layout), config, config.weights_of(job.branch))
    clips, validation = (
        [clip for clip in load_clips(job.ingest, job.synthesize, job.branch, split) if maker.asked(clip)]
        for split in ("train", "validation")
    )
    if not clips:
        raise UserError(
            f"{job.synthesize / QA.file_name}: no training clip has a question of the {job.branch} branch; expected "
            f"{' or '.join(TRAINED_ON[job.branch])} in the split train: give more clips, or leave the branch out"
        )
    return Branch(
        job,
        model,
        optimizer,
        parameters,
        maker,
        clips,
        choose(validation, config.max_validation_clips),
        Objective.of(config, targets),
        config.steps_of(job.branch, len(clips)),
        Whitening.load(job.base),
    )


def _keep_bf16(model: PeftModel) -> None:
    """Round what goes into the linear layers once and not in each of them; what they compute stays the same.

    Autocast rounds the fp32 output of a norm anew for every layer that takes it, and PEFT widens every LoRA input to
    fp32 only to have it rounded again.
    """

    def round_once(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output.to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else output

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
        elif name.endswith(("input_layernorm", "post_attention_layernorm")):
            module.register_forward_hook(round_once)


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


def _take_step(branch: Branch, state: TrainingState, workers: Workers) -> TrainingState:
    begin = time.perf_counter()
    job, config = branch.job, branch.job.config
    rate = schedule.learning_rate(
        state.step,
        branch.num_steps,
        config.branch_learning_rate(job.branch),
        config.warmup_steps,
        config.final_rate_share,
    )
    for group in branch.optimizer.param_groups:
        group["lr"] = rate
    result = optimizer_step(
        branch.model,
        branch.optimizer,
        branch.parameters,
        step_rows(branch, state.step, workers.rank, workers.count),
        branch.objective,
        config.max_gradient_norm,
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
        _tell(job, {"step": state.step, "num_steps": branch.num_steps, "loss": result.loss, "learning_rate": rate})
    return state


def _measure(branch: Branch, state: TrainingState, workers: Workers) -> TrainingState:
    """Add validation losses by task."""
    if not branch.validation:
        return state
    rows = [
        (branch.maker.plain(clip), [question.task for question in branch.maker.asked(clip)])
        for clip in branch.validation[workers.rank :: workers.count]
    ]
    tasks = TRAINED_ON[branch.job.branch]
    losses = losses_by_task(branch.model, rows, branch.objective, tasks, workers.sum)
    point = ValidationLosses(step=state.step, losses=losses)
    if workers.rank == 0:
        _tell(branch.job, {"step": state.step, "num_steps": branch.num_steps, "validation": losses})
    return state.model_copy(update={"validation": [*state.validation, point]})


def _commit(branch: Branch, state: TrainingState, workers: Workers, final: SelfCheck | None) -> None:
    metrics = {"step": float(state.step), "loss": state.losses[-1]}
    if workers.rank != 0:
        workers.commit(None, metrics)
        return
    with TemporaryDirectory(prefix="hazardline-checkpoint-") as name:
        folder = Path(name)
        save_state(folder, state, branch.model, branch.optimizer)
        if final is not None:
            with native_weights(branch.model, branch.whitening):
                save_branch(branch.model, branch.job.branch, folder / ADAPTER_FOLDER)
            _outcome(branch, final).write(folder / OUTCOME_NAME)
        workers.commit(folder, metrics)


def _outcome(branch: Branch, check: SelfCheck) -> BranchOutcome:
    return BranchOutcome(
        num_clips=len(branch.clips),
        num_steps=branch.num_steps,
        num_validation_clips=len(branch.validation),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
        trainable_parameters=sum(parameter.numel() for parameter in branch.parameters),
        self_check=check,
    )


def _check(branch: Branch) -> SelfCheck:
    """Run the self-check on the first clip with the most questions."""
    clip = max(branch.clips, key=lambda clip: len(branch.maker.asked(clip)))
    scene = next(row for row in read_table(SCENES, branch.job.ingest) if row["clip_id"] == clip.clip_id)
    layout = Prompter.load(branch.job.base).layout
    patches, _ = read_patches(Path(scene["video_uri"]), layout)
    check = self_check(branch.model, clip.clip_id, branch.maker.plain(clip), torch.from_numpy(patches), layout)
    check.refuse_differences()
    return check


def _tell(job: BranchJob, event: Mapping[str, Any]) -> None:
    """Append a line to the branch's progress file."""
    line = json.dumps({**event, "pid": os.getpid()})
    with job.progress.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def _seeds(job: BranchJob, purpose: int) -> list[int]:
    return [job.config.seed, list(TRAINED_ON).index(job.branch), purpose]


def _seed(job: BranchJob, purpose: int) -> int:
    return int(np.random.SeedSequence(_seeds(job, purpose)).generate_state(1)[0])
