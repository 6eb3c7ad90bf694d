"""Two-pass inference: greedy answers of the candidate and of its base to every question about every clip.

The linguistic branch answers recognition, description, cause and prevention; the perception branch is the second pass.
End to end it runs where recognition said Yes. It also answers every clip that has a reference, because CrashChat scores
localization on all crashes: such answers are marked as not asked. The base is the same checkpoint without adapters.

Each worker is a process of its own with one thread, and answers whole clips: the answers do not depend on the number
of workers.
"""

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.answers import Answer, ModelAnswers, says_yes
from hazardline.evaluate.features import Features, StoredClip
from hazardline.evaluate.testset import Clip
from hazardline.progress import Reporter
from hazardline.tasks import ANSWERED_BY, LOCALIZATION_TASKS, TASKS, Branch, Task

MODELS = ("candidate", "base")
_PASSES: tuple[tuple[Task, ...], ...] = (
    tuple(task for task in TASKS if task not in LOCALIZATION_TASKS),
    LOCALIZATION_TASKS,
)


@dataclass(frozen=True)
class Checkpoints:
    """The base and the adapter folder of each trained branch; without perception the linguistic branch answers all."""

    base: Path
    adapters: dict[Branch, Path]

    def branch_for(self, task: Task) -> Branch:
        """The branch that answers a task."""
        branch = ANSWERED_BY[task]
        return branch if branch in self.adapters else "linguistic"


@dataclass(frozen=True)
class Questions:
    """The question and the limit of the answer for every task."""

    texts: Mapping[Task, str]
    max_new_tokens: Mapping[Task, int]


@dataclass(frozen=True)
class _Job:
    """Questions to one clip in one pass; `branch` is None for the base."""

    features: StoredClip
    branch: Branch | None
    tasks: tuple[Task, ...]


@dataclass
class _Worker:
    """What a worker process holds; `model` is the one of the pass that it is in."""

    checkpoints: Checkpoints
    questions: Questions
    prompter: Any
    branch: Branch | None = None
    model: Any = None


_worker: _Worker | None = None


def find_adapters(folder: Path) -> dict[Branch, Path]:
    """The adapter folders that train wrote.

    Raises:
        UserError: there is no linguistic branch.
    """
    branches: tuple[Branch, ...] = ("linguistic", "perception")
    found = {branch: folder / branch for branch in branches if (folder / branch).is_dir()}
    if "linguistic" not in found:
        raise UserError(f"{folder}: no folder linguistic/; evaluation needs the linguistic branch; run train with it")
    return found


@contextmanager
def worker_pool(checkpoints: Checkpoints, questions: Questions, num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with the model loaded; clips are handed to them one by one."""
    pool = ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load_worker,
        initargs=(checkpoints, questions),
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            "evaluate: a worker process was killed (out of memory?); lower evaluate.num_workers and run again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def answer_clips(
    pool: ProcessPoolExecutor, checkpoints: Checkpoints, clips: Sequence[Clip], features: Features, reporter: Reporter
) -> dict[str, ModelAnswers]:
    """Answers of every model: model name -> clip_id -> task -> answer.

    One pass over all clips follows the other, so that a worker changes its model a few times only.
    """
    reporter.phase("answer questions", 2 * len(MODELS) * len(clips))
    found: dict[str, ModelAnswers] = {}
    for model in MODELS:
        branches = [checkpoints.branch_for(tasks[0]) if model == "candidate" else None for tasks in _PASSES]
        first = _run_pass(pool, branches[0], clips, features, {clip.clip_id: _PASSES[0] for clip in clips}, reporter)
        sent_on = {clip_id for clip_id, answers in first.items() if says_yes(answers)}
        asked = {
            clip.clip_id: tuple(t for t in _PASSES[1] if clip.clip_id in sent_on or t in clip.references)
            for clip in clips
        }
        second = _run_pass(pool, branches[1], clips, features, asked, reporter)
        found[model] = {
            clip_id: answers | {t: replace(a, asked=clip_id in sent_on) for t, a in second[clip_id].items()}
            for clip_id, answers in first.items()
        }
    return found


def _run_pass(
    pool: ProcessPoolExecutor,
    branch: Branch | None,
    clips: Sequence[Clip],
    features: Features,
    tasks: Mapping[str, tuple[Task, ...]],
    reporter: Reporter,
) -> ModelAnswers:
    chosen = [clip for clip in clips if tasks[clip.clip_id]]
    jobs = [_Job(features[clip.clip_id], branch, tasks[clip.clip_id]) for clip in chosen]
    reporter.advance(len(clips) - len(chosen))
    found: ModelAnswers = {clip.clip_id: {} for clip in clips}
    for clip, answers in zip(chosen, pool.map(_answer, jobs), strict=True):
        found[clip.clip_id] = answers
        reporter.advance()
    return found


def _load_worker(checkpoints: Checkpoints, questions: Questions) -> None:
    """Initializer of a worker process."""
    import torch

    from hazardline.vlm.text import Prompter

    global _worker
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    _worker = _Worker(checkpoints, questions, Prompter.load(checkpoints.base))


def _model_for(worker: _Worker, branch: Branch | None) -> Any:
    """The base, or the base with a branch merged into its weights (fewer and larger products a step)."""
    from hazardline.vlm.model import load_base, load_branches

    if worker.model is None or worker.branch != branch:
        worker.model = None  # one model in memory at a time
        if branch is None:
            worker.model = load_base(worker.checkpoints.base)
        else:
            adapters = {str(branch): worker.checkpoints.adapters[branch]}
            worker.model = load_branches(worker.checkpoints.base, adapters).merge_and_unload().eval()
        worker.branch = branch
    return worker.model


def _answer(job: _Job) -> dict[Task, Answer]:
    import torch

    from hazardline.vlm.generate import answer

    worker = _worker
    assert worker is not None, "the initializer runs first"
    prompter, questions = worker.prompter, worker.questions
    generated = answer(
        _model_for(worker, job.branch),
        prompter.prefix(job.features.times_s),
        torch.from_numpy(job.features.load()),
        [prompter.question(questions.texts[task]) for task in job.tasks],
        [questions.max_new_tokens[task] for task in job.tasks],
        prompter.end_id,
    )
    found = {}
    for task, item in zip(job.tasks, generated, strict=True):
        score = None
        if task == "crash_recognition":
            score = float(item.first_logits[prompter.yes_id] - item.first_logits[prompter.no_id])
        found[task] = Answer(prompter.decode(item.ids), score=score)
    return found
