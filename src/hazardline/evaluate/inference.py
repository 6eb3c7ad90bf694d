"""Inference: greedy answers of the candidate and of its base to every question about every clip.

Of CrashChat the linguistic branch answers recognition, description, cause and prevention; the perception branch is the
second pass. End to end it runs where recognition said Yes. It also answers every clip that has a reference, because
CrashChat scores localization on all crashes: such answers are marked as not asked. The base is the same checkpoint
without adapters. HazardNet has one pass; a task with a schema is answered twice, under it and freely.

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
from hazardline.evaluate.answers import Answer, ModelAnswers
from hazardline.evaluate.features import Features, StoredClip
from hazardline.evaluate.testset import Clip, Splits
from hazardline.progress import Reporter
from hazardline.suites import Suite
from hazardline.tasks import Branch, Task

MODELS = ("candidate", "base")


@dataclass(frozen=True)
class Checkpoints:
    """The base and the adapter folder of each trained branch; without perception the linguistic branch answers all."""

    base: Path
    adapters: dict[Branch, Path]

    def branch_for(self, task: Task, suite: Suite) -> Branch:
        """The branch that answers a task."""
        branch = suite.answered_by[task]
        return branch if branch in self.adapters else "linguistic"


@dataclass(frozen=True)
class Exam:
    """The test clips and what they are asked: the tasks of the first pass by clip, and the limits of answers."""

    splits: Splits
    first_pass: Mapping[str, tuple[Task, ...]]
    max_new_tokens: Mapping[Task, int]


@dataclass(frozen=True)
class _Ask:
    """One question; `schema` is what its answer is decoded under."""

    task: Task
    question: str
    max_new_tokens: int
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Job:
    """Questions to one clip in one pass; `branch` is None for the base."""

    features: StoredClip
    branch: Branch | None
    asks: tuple[_Ask, ...]


@dataclass
class _Worker:
    """What a worker process holds; `model` is the one of the pass that it is in."""

    checkpoints: Checkpoints
    prompter: Any
    branch: Branch | None = None
    model: Any = None
    grammars: Any = None
    """Made with the first answer that has a schema."""


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
def worker_pool(checkpoints: Checkpoints, num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with the model loaded; clips are handed to them one by one."""
    pool = ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load_worker,
        initargs=(checkpoints,),
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
    pool: ProcessPoolExecutor, checkpoints: Checkpoints, exam: Exam, features: Features, reporter: Reporter
) -> dict[str, ModelAnswers]:
    """Answers of every model: model name -> clip_id -> task -> answer.

    One pass over all clips follows the other, so that a worker changes its model a few times only.
    """
    suite, clips = exam.splits.suite, exam.splits.test
    reporter.phase("answer questions", (2 if suite.second_pass else 1) * len(MODELS) * len(clips))
    found: dict[str, ModelAnswers] = {}
    for model in MODELS:

        def run_pass(tasks: Mapping[str, tuple[Task, ...]], first: Task, model: str = model) -> ModelAnswers:
            branch = checkpoints.branch_for(first, suite) if model == "candidate" else None
            return _run_pass(pool, branch, exam, features, tasks, reporter)

        found[model] = run_pass(exam.first_pass, suite.first_pass[0])
        if suite.second_pass:
            sent_on = {clip_id for clip_id, given in found[model].items() if suite.says_yes(given[suite.key_task].text)}
            asked = {
                clip.clip_id: tuple(t for t in suite.second_pass if clip.clip_id in sent_on or t in clip.references)
                for clip in clips
            }
            second = run_pass(asked, suite.second_pass[0])
            for clip_id, answers in found[model].items():
                answers |= {t: replace(a, asked=clip_id in sent_on) for t, a in second[clip_id].items()}
    return found


def _run_pass(
    pool: ProcessPoolExecutor,
    branch: Branch | None,
    exam: Exam,
    features: Features,
    tasks: Mapping[str, tuple[Task, ...]],
    reporter: Reporter,
) -> ModelAnswers:
    clips = exam.splits.test
    chosen = [clip for clip in clips if tasks[clip.clip_id]]
    jobs = [_Job(features[clip.clip_id], branch, _asks(exam, clip, tasks[clip.clip_id])) for clip in chosen]
    reporter.advance(len(clips) - len(chosen))
    found: ModelAnswers = {clip.clip_id: {} for clip in clips}
    for clip, answers in zip(chosen, pool.map(_answer, jobs), strict=True):
        found[clip.clip_id] = answers
        reporter.advance()
    return found


def _asks(exam: Exam, clip: Clip, tasks: Sequence[Task]) -> tuple[_Ask, ...]:
    """The questions of a clip; one whose answers have a schema is asked a second time without it."""
    schemas = exam.splits.suite.schemas
    free = [_Ask(task, exam.splits.question(clip, task), exam.max_new_tokens[task]) for task in tasks]
    return (*free, *(replace(ask, schema=schemas[ask.task]) for ask in free if ask.task in schemas))


def _load_worker(checkpoints: Checkpoints) -> None:
    """Initializer of a worker process."""
    import torch

    from hazardline.vlm.text import Prompter

    global _worker
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    _worker = _Worker(checkpoints, Prompter.load(checkpoints.base))


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


def _constraints(worker: _Worker, asks: Sequence[_Ask]) -> list[Any]:
    """What each answer is decoded under, fresh; None for nothing."""
    if not any(ask.schema for ask in asks):
        return []
    if worker.grammars is None:
        from hazardline.constrained import Grammars
        from hazardline.vlm.model import core_model
        from hazardline.vlm.text import TOKENIZER_NAME

        vocab_size = core_model(worker.model).config.get_text_config().vocab_size
        worker.grammars = Grammars(worker.checkpoints.base / TOKENIZER_NAME, vocab_size, worker.prompter.end_id)
    prefix = worker.prompter.layout.answer_prefix
    return [None if ask.schema is None else worker.grammars.constraint(ask.schema, prefix) for ask in asks]


def _answer(job: _Job) -> dict[Task, Answer]:
    import torch

    from hazardline.vlm.generate import answer

    worker = _worker
    assert worker is not None, "the initializer runs first"
    prompter, times_s = worker.prompter, job.features.times_s
    model = _model_for(worker, job.branch)
    generated = answer(
        model,
        prompter.prefix(times_s),
        torch.from_numpy(job.features.load()),
        [prompter.question(ask.question) for ask in job.asks],
        [ask.max_new_tokens for ask in job.asks],
        prompter.end_id,
        prompter.layout.grids(len(times_s)),
        _constraints(worker, job.asks),
    )
    found: dict[Task, Answer] = {}
    for ask, item in zip(job.asks, generated, strict=True):
        text = prompter.decode(item.ids)
        if ask.schema is not None:
            found[ask.task] = Answer(text, free=found[ask.task].text)
            continue
        score = None
        if ask.task == "crash_recognition":
            score = float(item.first_logits[prompter.yes_id] - item.first_logits[prompter.no_id])
        found[ask.task] = Answer(text, score=score)
    return found
