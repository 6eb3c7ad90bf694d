"""Worker processes that answer test clips with bundles, as a device would: ONNX Runtime, one thread each, no torch."""

import multiprocessing
from collections.abc import Iterator, Sequence
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
from hazardline.tasks import LOCALIZATION_TASKS, TASKS, Branch, Task, parse_recognition


@dataclass(frozen=True)
class Job:
    """A clip to answer."""

    clip_id: str
    video: Path
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
    """Every task that has a reference, and the localization tasks wherever recognition said Yes."""
    crash_log_odds: float
    says_yes: bool
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

    As evaluation does, the localization tasks are also asked where there is a reference although recognition said No.
    """
    worker = _opened()
    quantised, floating = worker.quantised, worker.floating
    seen = quantised.see(job.video)
    first_pass = [task for task in TASKS if task not in LOCALIZATION_TASKS]
    passes = {"linguistic": quantised.read("linguistic", seen)}
    generated = quantised.ask(passes["linguistic"], first_pass)
    answers = {task: quantised.prompter.decode(item.ids) for task, item in generated.items()}
    says_yes = parse_recognition(answers["crash_recognition"]) is True
    second_pass = [task for task in LOCALIZATION_TASKS if says_yes or task in job.references]
    if second_pass:
        branch = quantised.branch_for(second_pass[0])
        if branch not in passes:
            passes[branch] = quantised.read(branch, seen)
        found = quantised.ask(passes[branch], second_pass)
        answers |= {task: quantised.prompter.decode(item.ids) for task, item in found.items()}
    logits = generated["crash_recognition"].first_logits
    forced = Forced()
    if job.is_forced:
        assert floating is not None, "forced jobs need both bundles"
        forced = _force(quantised, floating, passes, seen, job.references)
    return Result(
        clip_id=job.clip_id,
        answers={task: answers[task] for task in TASKS if task in answers},
        crash_log_odds=float(logits[quantised.prompter.yes_id] - logits[quantised.prompter.no_id]),
        says_yes=says_yes,
        forced=forced,
    )


def _open_bundles(quantised: Path, floating: Path | None) -> None:
    """Initializer of a worker process."""
    global _worker
    _worker = _Worker(Bundle.open(quantised), Bundle.open(floating) if floating else None)


def _opened() -> _Worker:
    assert _worker is not None, "the initializer runs first"
    return _worker


def _force(
    quantised: Bundle, floating: Bundle, passes: dict[str, Pass], seen: SeenClip, references: dict[Task, str]
) -> Forced:
    """Divergence and agreement of the two bundles on the reference answers, each branch on its own tasks."""
    total = Forced()
    by_branch: dict[Branch, list[Task]] = {}
    for task in TASKS:
        if task in references:
            by_branch.setdefault(quantised.branch_for(task), []).append(task)
    for branch, tasks in by_branch.items():
        prompter, questions = quantised.prompter, quantised.prompts.questions
        turns = [(prompter.question(questions[task]), prompter.answer(references[task])) for task in tasks]
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


def jobs_of(clips: Sequence[tuple[str, Path, dict[Task, str]]], num_forced: int) -> list[Job]:
    """Jobs for clips (id, video, reference answers); some of them forced."""
    forced = spread(len(clips), num_forced)
    return [
        Job(clip_id, video, dict(references), index in forced)
        for index, (clip_id, video, references) in enumerate(clips)
    ]
