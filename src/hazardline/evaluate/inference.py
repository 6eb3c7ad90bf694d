"""Two-pass inference: greedy answers of the candidate and of its base to every question about every clip.

The linguistic branch answers recognition, description, cause and prevention; the perception branch is the second pass.
End to end it runs where recognition said Yes. It also answers every clip that has a reference, because CrashChat scores
localization on all crashes: such answers are marked as not asked. The base is the same checkpoint without adapters.

Each worker is a process of its own with one thread, and answers whole clips: the answers do not depend on the number
of workers.
"""

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.errors import UserError
from hazardline.evaluate.answers import Answer, ModelAnswers, says_yes
from hazardline.evaluate.features import Features, StoredClip
from hazardline.evaluate.testset import Clip
from hazardline.progress import Reporter
from hazardline.tasks import ANSWERED_BY, LOCALIZATION_TASKS, TASKS, Branch, Task

MODELS = ("candidate", "base")
_FIRST_PASS: tuple[Task, ...] = tuple(task for task in TASKS if task not in LOCALIZATION_TASKS)


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
    clip_id: str
    features: StoredClip
    referenced: frozenset[Task]


@dataclass(frozen=True)
class _Worker:
    """What a worker process holds: the model with its branches, the prompter and the questions."""

    model: Any
    prompter: Any
    checkpoints: Checkpoints
    questions: Questions


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
    pool: ProcessPoolExecutor, clips: Sequence[Clip], features: Features, reporter: Reporter
) -> dict[str, ModelAnswers]:
    """Answers of every model: model name -> clip_id -> task -> answer."""
    jobs = [_Job(clip.clip_id, features[clip.clip_id], frozenset(clip.references)) for clip in clips]
    reporter.phase("answer questions", len(jobs))
    found: dict[str, ModelAnswers] = {model: {} for model in MODELS}
    for job, by_model in zip(jobs, pool.map(_answer, jobs), strict=True):
        for model, answers in by_model.items():
            found[model][job.clip_id] = answers
        reporter.advance()
    return found


def _load_worker(checkpoints: Checkpoints, questions: Questions) -> None:
    """Initializer of a worker process."""
    import torch

    from hazardline.vlm.model import load_branches
    from hazardline.vlm.text import Prompter

    global _worker
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = load_branches(checkpoints.base, {str(branch): path for branch, path in checkpoints.adapters.items()})
    _worker = _Worker(model, Prompter.load(checkpoints.base), checkpoints, questions)


def _loaded() -> _Worker:
    assert _worker is not None, "the initializer runs first"
    return _worker


def _answer(job: _Job) -> dict[str, dict[Task, Answer]]:
    import torch

    worker = _loaded()
    features = torch.from_numpy(job.features.load())
    prefix = worker.prompter.prefix(job.features.times_s)
    return {model: _answer_model(worker, model, job, prefix, features) for model in MODELS}


def _answer_model(worker: _Worker, model: str, job: _Job, prefix: list[int], features: Any) -> dict[Task, Answer]:
    answers = _pass(worker, model, _FIRST_PASS, prefix, features)
    is_sent_on = says_yes(answers)
    second = [task for task in LOCALIZATION_TASKS if is_sent_on or task in job.referenced]
    for task, answer in _pass(worker, model, second, prefix, features).items():
        answers[task] = Answer(answer.text, asked=is_sent_on)
    return {task: answers[task] for task in TASKS if task in answers}


def _pass(worker: _Worker, model: str, tasks: Iterable[Task], prefix: list[int], features: Any) -> dict[Task, Answer]:
    """Answers of one pass; its tasks share a branch, and so the prefix."""
    from hazardline.vlm.generate import answer
    from hazardline.vlm.model import use_branch

    asked = list(tasks)
    if not asked:
        return {}
    prompter, questions = worker.prompter, worker.questions
    branch = worker.checkpoints.branch_for(asked[0]) if model == "candidate" else None
    with use_branch(worker.model, branch):
        generated = answer(
            worker.model,
            prefix,
            features,
            [prompter.question(questions.texts[task]) for task in asked],
            [questions.max_new_tokens[task] for task in asked],
            prompter.end_id,
        )
    found = {}
    for task, item in zip(asked, generated, strict=True):
        score = None
        if task == "crash_recognition":
            score = float(item.first_logits[prompter.yes_id] - item.first_logits[prompter.no_id])
        found[task] = Answer(prompter.decode(item.ids), score=score)
    return found
