"""One optimizer step over a few clips, and the loss that it minimises. It knows neither the data nor the loop."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hazardline.tasks import Task
from hazardline.train.config import TrainConfig
from hazardline.train.loss import AnswerLosses, TimeTargets
from hazardline.train.packed import answer_losses
from hazardline.train.prefix import ClipRow
from hazardline.train.updater import SumOverWorkers, Updater
from hazardline.vlm.model import projector_noise


@dataclass(frozen=True)
class Objective:
    """What is minimised, and in which arithmetic."""

    loss: str
    precision: str
    noise_std: float
    time_targets: TimeTargets | None
    device_type: str = "cpu"

    @classmethod
    def of(cls, config: TrainConfig, time_targets: TimeTargets | None, device_type: str) -> "Objective":
        """The objective of a recipe."""
        return cls(config.loss, config.precision, config.projector_noise_std, time_targets, device_type)

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
        return torch.autocast(self.device_type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


@dataclass(frozen=True)
class Passes:
    """How a worker goes through its clips of a step.

    Attributes:
        clips_per_row: clips that run as one row.
        in_step: passes that every worker makes; 0 for as many as it has rows.
    """

    clips_per_row: int = 1
    in_step: int = 0

    @classmethod
    def of(cls, clips_per_step: int, num_workers: int, clips_per_row: int, in_lockstep: bool) -> "Passes":
        """Of a recipe. Workers that share weights (ZeRO) must make equally many."""
        most = -(-clips_per_step // num_workers)
        return cls(clips_per_row, -(-most // clips_per_row) if in_lockstep else 0)

    def divide(self, rows: Sequence[tuple[ClipRow, int]]) -> Iterator[tuple[Sequence[tuple[ClipRow, int]], float]]:
        """Groups of clips with the factor of their loss: 0 for a pass that is made only to keep step."""
        groups = [rows[start : start + self.clips_per_row] for start in range(0, len(rows), self.clips_per_row)]
        for group in groups:
            yield group, 1.0
        for _ in range(len(groups), self.in_step):
            yield groups[-1][:1], 0.0


@dataclass(frozen=True)
class StepResult:
    """What one step did, over all workers."""

    loss: float
    gradient_norm: float
    num_answer_tokens: int


class PassLoss(nn.Module):
    """What one forward pass over some clips adds to the sum that a step minimises. A module: ZeRO wraps modules."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        """Bind a PEFT model, its trained branch active, and what is minimised."""
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, rows: Sequence[ClipRow], seed: int) -> Tensor:
        """The undivided loss of some clips, which run as one row; `seed` is that of dropout and noise."""
        objective = self.objective
        torch.manual_seed(seed)  # dropout draws from the global generator: its masks belong to the visit
        noise: AbstractContextManager[None] = nullcontext()
        if objective.noise_std:
            noise = projector_noise(self.model, objective.noise_std, torch.Generator().manual_seed(seed))
        with objective.autocast(), noise:
            return objective.total(answer_losses(self.model, rows, objective.time_targets))


def optimizer_step(
    compute: Callable[[Sequence[ClipRow], int], Tensor],
    updater: Updater,
    rows: Sequence[tuple[ClipRow, int]],
    objective: Objective,
    learning_rate: float,
    passes: Passes,
    sum_over_workers: SumOverWorkers,
) -> StepResult:
    """Update the trainable weights on the clips of one step.

    Args:
        compute: a `PassLoss`, perhaps wrapped.
        updater: brings gradients together and moves the weights.
        rows: this worker's clips, each with the seed of its dropout and noise.
        objective: loss and arithmetic.
        learning_rate: of this step.
        passes: how many clips run in a row, and how many passes every worker makes.
        sum_over_workers: adds up a tensor over all workers.
    """
    tokens = sum(len(turn.answer) for row, _ in rows for turn in row.turns)
    amounts = torch.tensor([sum(objective.amount(row) for row, _ in rows), float(tokens)], dtype=torch.float64)
    sum_over_workers(amounts)
    updater.begin(learning_rate)
    loss = torch.zeros((), dtype=torch.float64)
    for group, share in passes.divide(rows):
        part = compute([row for row, _ in group], group[0][1]) * share / float(amounts[0])
        updater.backward(part)
        loss += part.detach().cpu()
    sum_over_workers(loss)
    return StepResult(float(loss), updater.step(), int(amounts[1]))


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
