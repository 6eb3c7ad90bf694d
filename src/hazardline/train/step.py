"""One optimizer step over a few clips, and the loss that it minimises. Plain functions; no data, no loop."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hazardline.tasks import Task
from hazardline.train.config import TrainConfig
from hazardline.train.loss import AnswerLosses, TimeTargets
from hazardline.train.packed import answer_losses
from hazardline.train.prefix import ClipRow
from hazardline.vlm.model import projector_noise

SumOverWorkers = Callable[[Tensor], None]
"""Adds up a tensor over all workers, in place."""


@dataclass(frozen=True)
class Objective:
    """What is minimised, and in which arithmetic."""

    loss: str
    precision: str
    noise_std: float
    time_targets: TimeTargets | None

    @classmethod
    def of(cls, config: TrainConfig, time_targets: TimeTargets | None) -> "Objective":
        """The objective of a recipe."""
        return cls(config.loss, config.precision, config.projector_noise_std, time_targets)

    def amount(self, row: ClipRow) -> float:
        """What a row adds to the divisor of the step: turn weights, or answer tokens."""
        if self.loss == "turns":
            return sum(turn.weight for turn in row.turns)
        return float(sum(len(turn.answer) for turn in row.turns))

    def total(self, losses: AnswerLosses) -> Tensor:
        """What a row adds to the sum that the divisor divides."""
        if self.loss == "turns":
            return (losses.per_turn() * losses.weight).sum()
        return losses.per_token.sum()

    def autocast(self) -> AbstractContextManager[object]:
        """The arithmetic of a forward pass."""
        return torch.autocast("cpu", torch.bfloat16) if self.precision == "bf16" else nullcontext()


@dataclass(frozen=True)
class StepResult:
    """What one step did, over all workers."""

    loss: float
    gradient_norm: float
    num_answer_tokens: int


def optimizer_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    rows: Sequence[tuple[ClipRow, int]],
    objective: Objective,
    max_gradient_norm: float,
    sum_over_workers: SumOverWorkers,
) -> StepResult:
    """Update the parameters on the clips of one step.

    The loss is one sum over the clips of all workers with one divisor, so gradients are added up over workers once and
    not averaged: the step is the same for any number of workers (up to the order of additions).

    Args:
        model: PEFT model in training mode, the trained branch active.
        optimizer: over `parameters`, its learning rate set.
        parameters: the trainable parameters, in the same order on every worker.
        rows: this worker's clips, each with the seed of its dropout and noise.
        objective: loss and arithmetic.
        max_gradient_norm: gradients beyond it are scaled down.
        sum_over_workers: adds up a tensor over all workers.
    """
    tokens = sum(len(turn.answer) for row, _ in rows for turn in row.turns)
    amounts = torch.tensor([sum(objective.amount(row) for row, _ in rows), float(tokens)], dtype=torch.float64)
    sum_over_workers(amounts)
    optimizer.zero_grad(set_to_none=True)
    loss = torch.zeros((), dtype=torch.float64)
    for row, seed in rows:
        part = _row_loss(model, row, seed, objective) / float(amounts[0])
        part.backward()
        loss += part.detach()
    sum_over_workers(loss)
    _add_up_gradients(parameters, sum_over_workers)
    norm = nn.utils.clip_grad_norm_(parameters, max_gradient_norm, error_if_nonfinite=True)
    optimizer.step()
    return StepResult(float(loss), float(norm), int(amounts[1]))


def _row_loss(model: nn.Module, row: ClipRow, seed: int, objective: Objective) -> Tensor:
    torch.manual_seed(
        seed
    )  # dropout draws from the global generator: its masks belong to the visit, not to the process
    noise: AbstractContextManager[None] = nullcontext()
    if objective.noise_std:
        noise = projector_noise(model, objective.noise_std, torch.Generator().manual_seed(seed))
    with objective.autocast(), noise:
        return objective.total(answer_losses(model, [row], objective.time_targets))


def _add_up_gradients(parameters: Sequence[nn.Parameter], sum_over_workers: SumOverWorkers) -> None:
    """One message for all gradients. A worker without clips adds zeros."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters if parameter.grad is not None])
    sum_over_workers(flat)
    offset = 0
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
        offset += parameter.numel()


@torch.no_grad()
def losses_by_task(
    model: nn.Module,
    rows: Sequence[tuple[ClipRow, Sequence[Task]]],
    objective: Objective,
    tasks: Sequence[Task],
    sum_over_workers: SumOverWorkers,
) -> dict[Task, float]:
    """Mean loss of the answers of each task, without dropout, noise and task weights.

    Args:
        model: PEFT model, the branch active; left in the mode it was in.
        rows: this worker's clips, each with the tasks of its turns.
        objective: loss and arithmetic.
        tasks: all tasks that may occur; one that does not is left out of the result.
        sum_over_workers: adds up a tensor over all workers.
    """
    was_training = model.training
    model.eval()
    sums: dict[Task, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row, row_tasks in rows:
        with objective.autocast():
            per_turn = answer_losses(model, [row], objective.time_targets).per_turn().tolist()
        for task, value in zip(row_tasks, per_turn, strict=True):
            sums[task][0] += value
            sums[task][1] += 1
    model.train(was_training)
    totals = torch.tensor([sums[task] for task in tasks], dtype=torch.float64)
    sum_over_workers(totals)
    return {task: float(total / count) for task, (total, count) in zip(tasks, totals.tolist(), strict=True) if count}
