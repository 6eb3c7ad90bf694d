"""The endpoint annotator: a vision-language model behind HTTP writes what the annotation leaves open.

Clips are asked about side by side and come out in their order. What was answered stays in the cache, so that a run that
ends early (a budget, a kill, a fault) is gone on with, and a second run costs nothing.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from hazardline import environment, video
from hazardline.errors import UserError
from hazardline.files import digest_json
from hazardline.progress import Reporter
from hazardline.suites import suite_of
from hazardline.synthesize.annotators import AnnotatorReport
from hazardline.synthesize.document import EndpointReport
from hazardline.synthesize.endpoint.answers import AnswerCache, Answers
from hazardline.synthesize.endpoint.asking import Asker, settings
from hazardline.synthesize.endpoint.client import EndpointClient, NotAccepted, Unavailable
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.synthesize.endpoint.ledger import NANO, BudgetSpent, Ledger
from hazardline.synthesize.endpoint.pairs import fixed_pairs, pairs_of
from hazardline.synthesize.endpoint.prompts import WORDINGS, Question, question_about
from hazardline.synthesize.endpoint.replies import read
from hazardline.synthesize.pair import Annotation, Clip, Failure
from hazardline.tasks import PromptSet

_HOPELESS = 20
"""So many clips without one answer, from the first on, end a run."""
_MOST_WAITING = 1000
"""Clips that are held until one before them is answered."""


@dataclass(frozen=True)
class _Answered:
    """What became of a question: its answers, or why there is none."""

    answers: Answers | None
    failure: Failure | None = None


class EndpointAnnotator:
    """`hazardline.synthesize.annotators.Annotator` that asks an OpenAI-compatible endpoint."""

    def __init__(
        self, config: EndpointConfig, prompts: PromptSet, reporter: Reporter, root: Path | None = None
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            config: where and how to ask.
            prompts: the questions of the pairs that are written.
            reporter: told of the costs.
            root: folder of answers and accounts (default: `annotations` below HAZARDLINE_HOME).

        Raises:
            UserError: the address is none.
        """
        root = root or environment.home() / "annotations"
        self._config, self._prompts, self._reporter = config, prompts, reporter
        self._suite = suite_of(prompts.version).name
        self._wording = WORDINGS[self._suite]
        self._ledger = Ledger(root / "accounts", digest_json(settings(config, self._wording)), config.budget_usd)
        self._client = EndpointClient(config)
        self._asker = Asker(config, self._wording, self._client, AnswerCache(root), self._ledger)
        self._num_asked, self._num_answered, self._num_failed = 0, 0, 0
        self._counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("attempts", "served_models", "system_fingerprints", "structured")
        }
        self._tokens: Counter[str] = Counter()

    def annotate(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Annotation]]:
        """See `Annotator`.

        Raises:
            UserError: the budget is spent, no request is answered, or the endpoint refuses all.
        """
        video.backend()  # chosen here and not by several threads at once
        spent_before = self._ledger.account().total
        pool = ThreadPoolExecutor(self._config.concurrency, thread_name_prefix="annotator")
        waiting: deque[tuple[Clip, Future[_Answered] | None]] = deque()
        remaining = iter(clips)
        try:
            for clip in remaining:
                question = question_about(clip.scene, self._suite)
                waiting.append((clip, pool.submit(self._ask, clip, question) if question is not None else None))
                while waiting and (self._is_full(waiting) or self._is_ready(waiting[0][1])):
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())
        except BudgetSpent:
            raise UserError(self._budget_message(waiting, remaining)) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._client.close()
            spent = (self._ledger.account().total - spent_before) / NANO
            self._reporter.note(
                f"endpoint: {self._asker.num_sent} requests ({self._asker.num_unavailable} without an answer), "
                f"{spent:.4f} USD spent or booked by this and parallel runs"
            )

    def report(self) -> AnnotatorReport:
        """Figures of all answers in use, whichever run paid for them, and whether too many clips have none."""
        fault = None
        if self._num_failed > self._config.max_failed_share * self._num_asked:
            fault = (
                f"{self._num_failed} of {self._num_asked} clips have no usable answer of {self._config.model}, "
                f"{self._config.max_failed_share:.1%} are allowed (endpoint.max_failed_share); failed.parquet says "
                "why. Run again if the endpoint was down; else raise max_attempts or max_tokens, or take another model"
            )
        report = EndpointReport(
            model=self._config.model,
            annotator_prompt=self._wording.name,
            annotator_prompt_digest=self._wording.digest(),
            temperature=self._config.temperature,
            seed=self._config.seed,
            num_clips_asked=self._num_asked,
            prompt_tokens=self._tokens["prompt"],
            completion_tokens=self._tokens["completion"],
            usd=self._tokens["nano_usd"] / NANO,
            **{name: dict(sorted(counts.items())) for name, counts in self._counts.items()},
        )
        return AnnotatorReport(endpoint=report, fault=fault)

    def _is_full(self, waiting: deque[tuple[Clip, Future[_Answered] | None]]) -> bool:
        open_questions = sum(future is not None and not future.done() for _, future in waiting)
        return open_questions >= 2 * self._config.concurrency or len(waiting) >= _MOST_WAITING

    @staticmethod
    def _is_ready(future: Future[_Answered] | None) -> bool:
        return future is None or future.done()

    def _ask(self, clip: Clip, question: Question) -> _Answered:
        """In a thread: the answers, or why there are none."""
        try:
            answers = self._asker.ask(clip.scene, question)
        except Unavailable as error:
            return _Answered(None, Failure(error.reason, error.detail, 0))
        except NotAccepted as error:
            return _Answered(None, Failure("not_accepted", str(error), 0))
        except video.VideoError as error:
            return _Answered(None, Failure("unreadable_clip", str(error), 0))
        last = answers.last
        if last is not None and not answers.is_answered:
            return _Answered(answers, Failure(last.outcome, last.detail, len(answers.attempts)))
        return _Answered(answers)

    def _finish(self, clip: Clip, future: Future[_Answered] | None) -> tuple[Clip, Annotation]:
        if future is None:
            return clip, fixed_pairs(clip, self._prompts)
        found = future.result()
        self._num_asked += 1
        self._count(found.answers)
        if found.failure is not None or found.answers is None or found.answers.last is None:
            assert found.failure is not None, "what is not answered has a reason"
            self._num_failed += 1
            if self._num_answered == 0 and self._num_failed >= _HOPELESS:
                raise UserError(
                    f"synthesize: none of the first {self._num_failed} clips was answered by {self._config.model}; "
                    f"the last one: {found.failure.reason}: {found.failure.detail}. "
                    "Mend synthesize.endpoint and run again"
                )
            return clip, Annotation([], failure=found.failure)
        self._num_answered += 1
        question = question_about(clip.scene, self._suite)
        assert question is not None, "a clip that was asked about"
        reply = read(found.answers.last.content or "", question.reply)
        return clip, pairs_of(clip, reply.data(), self._prompts)

    def _count(self, answers: Answers | None) -> None:
        for attempt in answers.attempts if answers is not None else ():
            self._counts["attempts"][attempt.outcome] += 1
            self._counts["served_models"][attempt.model] += 1
            self._counts["system_fingerprints"][attempt.system_fingerprint] += 1
            self._counts["structured"][attempt.structured] += 1
            self._tokens["prompt"] += attempt.prompt_tokens
            self._tokens["completion"] += attempt.completion_tokens
            self._tokens["nano_usd"] += attempt.cost_nano_usd

    def _budget_message(self, waiting: deque[tuple[Clip, Future[_Answered] | None]], remaining: Iterator[Clip]) -> str:
        """What was spent, what is missing, and what to do."""
        for _, future in waiting:
            if future is not None:
                future.exception()  # until those in flight have kept their answers
        behind = chain((clip for clip, _ in waiting), remaining)
        num_missing = 1 + sum(self._is_missing(clip) for clip in behind)  # and the clip that met the limit
        account = self._ledger.account()
        return (
            f"synthesize: the budget of {self._config.budget_usd:g} USD (endpoint.budget_usd) does not allow another "
            f"request: {account.total / NANO:.4f} USD are spent or booked; {num_missing} clips have no answer yet. "
            "Raise it and run again: what was answered is kept and costs nothing"
        )

    def _is_missing(self, clip: Clip) -> bool:
        question = question_about(clip.scene, self._suite)
        return question is not None and self._asker.known(clip.scene, question) is None
