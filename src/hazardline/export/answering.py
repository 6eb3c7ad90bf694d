"""Worker processes that answer test clips with bundles, as a device would: ONNX Runtime, one thread each, no torch."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hazardline.device.answer import forced_logits
from hazardline.device.runtime import Bundle, ClipAnswers, Pass, SeenClip
from hazardline.errors import UserError
from hazardline.tasks import Branch, Task


@dataclass(frozen=True)
class Job:
    """A clip or an image to answer."""

    clip_id: str
    video: Path
    questions: dict[Task, str]
    """Of the tasks of the first pass that are asked, and of all of the second."""
    references: dict[Task, str]
    is_forced: bool
    """Whether both bundles are also led along the reference answers."""


@dataclass(frozen=True)
class Forced:
    """How far the quantised bundle is from the float one along the reference answers of a clip."""

    num_tokens: int = 0
    sum_kl: float = 0.0
    num_agreeing: int = 0


@dataclass(frozen=True)
class Result:
    """The answers of the quantised bundle to a clip."""

    clip_id: str
    answers: dict[Task, str]
    """Every task that has a reference, and those of the second pass wherever the key task's answer was Yes."""
    crash_log_odds: float | None
    """None of images."""
    forced: Forced


@dataclass(frozen=True)
class _Worker:
    quantised: Bundle
    floating: Bundle | None


_worker: _Worker | None = None


@contextmanager
def worker_pool(quantised: Path, floating: Path | None, num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that hold both bundles open.

    Args:
        quantised: bundle that answers.
        floating: bundle to compare with; None where no job is forced.
        num_workers: processes.
    """
    pool = ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open_bundles,
        initargs=(quantised, floating),
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            "export: a worker process was killed (out of memory?); lower export.num_workers and run again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def answer_plainly(video: Path) -> ClipAnswers:
    """What the quantised bundle answers to a clip, in a worker process, exactly as on a device."""
    return _opened().quantised.answer(video)


def answer_job(job: Job) -> Result:
    """Answer a clip in a worker process.

    As evaluation does, the tasks of the second pass are also asked where there is a reference although the key task's
    answer was No.
    """
    worker = _opened()
    quantised, floating = worker.quantised, worker.floating
    suite, seen = quantised.suite, quantised.see(job.video)
    first_pass = [task for task in suite.first_pass if task in job.questions]
    passes: dict[Branch, Pass] = {"linguistic": quantised.read("linguistic", seen)}
    generated = quantised.ask(passes["linguistic"], first_pass, job.questions)
    answers = {task: quantised.prompter.decode(item.ids) for task, item in generated.items()}
    says_yes = suite.says_yes(answers.get(suite.key_task, ""))
    second_pass = [task for task in suite.second_pass if says_yes or task in job.references]
    if second_pass:
        branch = quantised.branch_for(second_pass[0])
        if branch not in passes:
            passes[branch] = quantised.read(branch, seen)
        found = quantised.ask(passes[branch], second_pass, job.questions)
        answers |= {task: quantised.prompter.decode(item.ids) for task, item in found.items()}
    forced = Forced()
    if job.is_forced:
        assert floating is not None, "forced jobs need both bundles"
        forced = _force(quantised, floating, passes, seen, job)
    return Result(
        clip_id=job.clip_id,
        answers={task: answers[task] for task in suite.tasks if task in answers},
        crash_log_odds=quantised.crash_log_odds(generated),
        forced=forced,
    )


def _open_bundles(quantised: Path, floating: Path | None) -> None:
    """Initializer of a worker process."""
    global _worker
    _worker = _Worker(Bundle.open(quantised), Bundle.open(floating) if floating else None)


def _opened() -> _Worker:
    assert _worker is not None, "the initializer runs first"
    return _worker


def _force(quantised: Bundle, floating: Bundle, passes: dict[Branch, Pass], seen: SeenClip, job: Job) -> Forced:
    """Divergence and agreement of the two bundles on the reference answers, each branch on its own tasks."""
    total = Forced()
    by_branch: dict[Branch, list[Task]] = {}
    for task in quantised.suite.tasks:
        if task in job.references:
            by_branch.setdefault(quantised.branch_for(task), []).append(task)
    for branch, tasks in by_branch.items():
        prompter = quantised.prompter
        turns = [(prompter.question(job.questions[task]), prompter.answer(job.references[task])) for task in tasks]
        mine, theirs = (
            np.concatenate(forced_logits(bundle.decoder, branch, read.prefix, bundle.embed, turns))
            for bundle, read in ((quantised, passes[branch]), (floating, floating.read(branch, seen)))
        )
        total = Forced(
            num_tokens=total.num_tokens + len(mine),
            sum_kl=total.sum_kl + float(kl_divergence(theirs, mine).sum()),
            num_agreeing=total.num_agreeing + int((mine.argmax(axis=1) == theirs.argmax(axis=1)).sum()),
        )
    return total


def kl_divergence(reference: npt.NDArray[np.float32], given: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """KL(reference || given) in nats of the distributions that logits (n, vocabulary) stand for: (n,)."""
    log_p, log_q = _log_softmax(reference), _log_softmax(given)
    result: npt.NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return result


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def spread(num_items: int, num_wanted: int) -> set[int]:
    """Indices of `num_wanted` items (all, if there are fewer) spread evenly over a sequence."""
    count = min(num_items, num_wanted)
    return {round(index * num_items / count) for index in range(count)} if count else set()
