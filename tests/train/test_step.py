"""One step: its divisor counts the whole step, its randomness belongs to the visit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hazardline.tasks import TASKS
from hazardline.train.build import Learner, make_learner
from hazardline.train.dataset import RowMaker
from hazardline.train.loop import Branch, load_branch, step_rows
from hazardline.train.packed import answer_losses
from hazardline.train.prefix import ClipRow
from hazardline.train.step import Objective, Passes, PassLoss, StepResult, losses_by_task, optimizer_step
from hazardline.train.updater import SumOverWorkers, trainable
from tests.train.jobs import make_job, small_config


def alone(tensor: Tensor) -> None:
    """One worker: nothing to add."""


def load(base: Path, inputs: dict[str, Path], features: Path, folder: Path, dropout: float = 0.0) -> Branch:
    config = small_config(base, lora={"dropout": dropout})
    return load_branch(make_job(folder, config, inputs, features))


def learner_of(branch: Branch, add: SumOverWorkers = alone, loss: str = "turns", noise: float = 0.0) -> Learner:
    objective = Objective(loss, "fp32", noise, branch.objective.time_targets)
    return make_learner(branch.model, objective, branch.job.config, "linguistic", 1, add)


def take(
    learner: Learner,
    rows: list[tuple[ClipRow, int]],
    add: SumOverWorkers = alone,
    rate: float = 2e-3,
    clips_per_row: int = 1,
) -> StepResult:
    assert isinstance(learner.compute, PassLoss)
    objective, passes = learner.compute.objective, Passes(clips_per_row)
    return optimizer_step(learner.compute, learner.updater, rows, objective, rate, passes, add)


def test_loss_is_the_weighted_mean_over_all_answers_of_the_step(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    branch = load(base, inputs, features, tmp_path)
    rows = step_rows(branch, 0, 0, 1)
    together = answer_losses(branch.model, [row for row, _ in rows], branch.objective.time_targets)
    expected = float(together.mean_over_turns().detach())
    result = take(learner_of(branch), rows)
    assert result.loss == pytest.approx(expected, rel=1e-6)
    assert result.num_answer_tokens == len(together.target)


def test_loss_may_count_tokens(base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path) -> None:
    branch = load(base, inputs, features, tmp_path)
    rows = step_rows(branch, 0, 0, 1)
    together = answer_losses(branch.model, [row for row, _ in rows], branch.objective.time_targets)
    expected = float(together.mean_over_tokens().detach())
    assert take(learner_of(branch, loss="tokens"), rows).loss == pytest.approx(expected, rel=1e-6)


def test_workers_divide_the_clips_of_a_step(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    branch = load(base, inputs, features, tmp_path)
    for step in (0, 7):
        whole = step_rows(branch, step, 0, 1)
        parts = [step_rows(branch, step, rank, 2) for rank in (0, 1)]
        assert [seed for _, seed in whole[0::2]] == [seed for _, seed in parts[0]]
        assert [row.turns for row, _ in whole[1::2]] == [row.turns for row, _ in parts[1]]


def test_gradients_of_workers_add_up(base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path) -> None:
    """A worker whose gradients, divisor and loss are doubled by the sum takes the step of two equal workers."""
    one, two = (load(base, inputs, features, tmp_path / name) for name in ("one", "two"))
    rows = step_rows(one, 0, 0, 1)
    single = take(learner_of(one), rows)

    def double_up(tensor: Tensor) -> None:
        tensor.mul_(2)

    double = take(learner_of(two, double_up), rows, double_up)
    assert double.loss == pytest.approx(single.loss) and double.gradient_norm == pytest.approx(single.gradient_norm)
    assert double.num_answer_tokens == 2 * single.num_answer_tokens
    for first, second in zip(trainable(one.model).values(), trainable(two.model).values(), strict=True):
        torch.testing.assert_close(first, second)


def test_clips_in_one_row_take_the_same_step(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    one, two = (load(base, inputs, features, tmp_path / name) for name in ("one", "two"))
    rows = step_rows(one, 0, 0, 1)
    alone_, together = take(learner_of(one), rows), take(learner_of(two), rows, clips_per_row=3)
    assert together.loss == pytest.approx(alone_.loss, rel=1e-6)
    assert together.gradient_norm == pytest.approx(alone_.gradient_norm, rel=1e-4)
    for first, second in zip(trainable(one.model).values(), trainable(two.model).values(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_workers_in_lockstep_make_equally_many_passes(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    rows = step_rows(load(base, inputs, features, tmp_path), 0, 0, 1)
    passes = Passes.of(clips_per_step=5, num_workers=2, clips_per_row=1, in_lockstep=True)
    assert [share for _, share in passes.divide(rows[:3])] == [1.0, 1.0, 1.0]
    assert [share for _, share in passes.divide(rows[:2])] == [1.0, 1.0, 0.0]
    assert list(Passes.of(5, 2, 1, in_lockstep=False).divide([])) == []
    assert [len(group) for group, _ in Passes.of(5, 1, 2, in_lockstep=True).divide([*rows, rows[0]])] == [2, 2, 1]


def test_dropout_and_noise_belong_to_the_visit(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    losses: dict[str, list[float]] = {}
    for name, shift in (("one", 0), ("again", 0), ("other", 1)):
        branch = load(base, inputs, features, tmp_path / name, dropout=0.5)
        rows = [(row, seed + shift) for row, seed in step_rows(branch, 0, 0, 1)]
        torch.manual_seed(len(losses))  # the state that the process happens to be in must not matter
        learner = learner_of(branch, noise=0.1)
        losses[name] = [take(learner, rows, rate=0.1).loss for _ in range(2)]
    assert losses["one"] == losses["again"]
    assert losses["one"][0] != losses["other"][0] and losses["one"][1] != losses["other"][1]


def test_losses_by_task_leave_the_model_alone(
    base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    branch = load(base, inputs, features, tmp_path, dropout=0.5)
    maker: RowMaker = branch.maker
    rows = [(maker.plain(clip), [question.task for question in maker.asked(clip)]) for clip in branch.clips]
    first, again = (losses_by_task(branch.model, rows, branch.objective, TASKS, alone) for _ in range(2))
    assert first == again and set(first) == set(TASKS)
    assert branch.model.training
    negatives = [(row, tasks) for row, tasks in rows if len(tasks) == 4]
    assert set(losses_by_task(branch.model, negatives, branch.objective, TASKS, alone)) == set(TASKS[:4])
