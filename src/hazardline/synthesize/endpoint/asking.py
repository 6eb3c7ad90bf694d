"""Asking about one clip: from the cache, or from the endpoint with tries, pacing and a booked price."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from hazardline.files import digest_json
from hazardline.synthesize.endpoint.answers import AnswerCache, Answers, Attempt
from hazardline.synthesize.endpoint.client import EndpointClient, Mode, NotAccepted, Reply, Unavailable
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.synthesize.endpoint.frames import RATE_HZ, frame_indices, frame_jpegs
from hazardline.synthesize.endpoint.ledger import Ledger, cost_nano_usd
from hazardline.synthesize.endpoint.pacing import TokenBucket
from hazardline.synthesize.endpoint.prompts import Question, Wording
from hazardline.synthesize.endpoint.replies import judge
from hazardline.synthesize.pair import SceneRow

_MODES: tuple[Mode, ...] = ("json_schema", "json_object", "text")
_OVERHEAD_TOKENS = 100
"""For the roles and separators around texts."""


def settings(config: EndpointConfig, wording: Wording) -> dict[str, object]:
    """What decides an answer beside the clip and what is said of it."""
    return {
        "prompt": wording.name,
        "prompt_digest": wording.digest(),
        "model": config.model,
        "temperature": config.temperature,
        "seed": config.seed,
        "max_tokens": config.max_tokens,
        "structured": config.structured,
        "image_width_px": config.image_width_px,
        "image_quality": config.image_quality,
        "num_frames": config.num_frames,
    }


@dataclass(frozen=True)
class _Request:
    """What is sent for one answer, and what keeps the answer."""

    question: Question
    indices: Sequence[int]
    jpegs: Sequence[bytes]
    seed: int
    keep: Callable[[Attempt], Answers]


class Asker:
    """Gets the answers to questions. Threads may share it."""

    def __init__(
        self,
        config: EndpointConfig,
        wording: Wording,
        client: EndpointClient,
        cache: AnswerCache,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask one endpoint in one wording; `clock` and `sleep` serve the rate limits and the pauses between tries."""
        self._config, self._client, self._cache, self._ledger = config, client, cache, ledger
        self._settings = settings(config, wording)
        self._requests = TokenBucket(config.requests_per_minute, clock, sleep)
        self._tokens = TokenBucket(config.tokens_per_minute, clock, sleep)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._modes = list(_MODES) if config.structured == "auto" else [config.structured]
        self._is_mode_settled = config.structured != "auto"
        self._excess = 1.0
        self.num_sent = 0
        """Requests sent by this process."""
        self.num_unavailable = 0
        """Of them, those without an answer."""

    def asked(self, scene: SceneRow, question: Question) -> dict[str, object]:
        """Everything that an answer depends on; its digest is the key."""
        return {
            "clip_sha256": scene["sha256"],
            "frames": frame_indices(scene, self._config.num_frames),
            "frame_rate_hz": RATE_HZ,
            "text_digest": digest_json([question.before, question.after]),
            "form_digest": digest_json(question.reply.model_json_schema()),
            **self._settings,
        }

    def known(self, scene: SceneRow, question: Question) -> Answers | None:
        """The answers that are there already, where nothing more would be asked."""
        found = self._cache.find(digest_json(self.asked(scene, question)))
        return found if found is not None and self._is_final(found) else None

    def ask(self, scene: SceneRow, question: Question) -> Answers:
        """The answers to a question, from the cache as far as they are there.

        Raises:
            Unavailable: the endpoint did not answer at any try.
            NotAccepted: the endpoint does not take this request.
            BudgetSpent: the next request might pass the budget.
            UserError: the clip cannot be read, or no request will be answered.
        """
        asked = self.asked(scene, question)
        key = digest_json(asked)
        with self._cache.lock(key):
            found = self._cache.find(key) or Answers(asked=asked, attempts=[])
            if self._is_final(found):
                return found
            indices = frame_indices(scene, self._config.num_frames)
            jpegs = frame_jpegs(scene, indices, self._config)
            while not self._is_final(found):
                so_far = found

                def keep(attempt: Attempt, so_far: Answers = so_far) -> Answers:
                    answers = so_far.model_copy(update={"attempts": [*so_far.attempts, attempt]})
                    self._cache.keep(key, answers)
                    return answers

                seed = self._config.seed + len(found.attempts)
                found = self._retrying()(self._try_modes, _Request(question, indices, jpegs, seed, keep))
            return found

    def _is_final(self, answers: Answers) -> bool:
        return answers.is_answered or len(answers.attempts) >= self._config.max_attempts

    def _retrying(self) -> Retrying:
        """One answer, after as many tries as it takes within the limits."""
        return Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=self._is_enough,
            wait=self._pause_s,
            sleep=self._sleep,
            reraise=True,
        )

    def _is_enough(self, state: RetryCallState) -> bool:
        is_long = (_asked_pause_s(state) or 0.0) > self._config.longest_wait_s
        return is_long or stop_after_attempt(self._config.max_tries)(state)

    def _pause_s(self, state: RetryCallState) -> float:
        """What the endpoint asks for, or twice as long each time; with jitter, so that threads do not come together."""
        least_s = _asked_pause_s(state)
        if least_s is not None:
            return least_s + random.uniform(0, 0.1 * least_s + 0.1)
        longest_s = min(self._config.longest_wait_s, 0.5 * 2**state.attempt_number)
        return random.uniform(longest_s / 2, longest_s)

    def _try_modes(self, request: _Request) -> Answers:
        """Try in the strictest mode that the endpoint has not refused."""
        while True:
            mode = self._modes[0]
            try:
                answers = self._try(request, mode)
            except NotAccepted:
                if not self._give_up(mode):
                    raise
                continue
            self._is_mode_settled = True
            return answers

    def _give_up(self, mode: Mode) -> bool:
        """Leave a mode that was refused before any answer came; whether there is another to try."""
        with self._lock:
            if self._is_mode_settled or (self._modes[0] == mode and len(self._modes) == 1):
                return self._modes[0] != mode
            if self._modes[0] == mode:
                self._modes.pop(0)
            return True

    def _try(self, request: _Request, mode: Mode) -> Answers:
        """One request: booked before it is sent, settled by what it cost when its answer is kept."""
        question, jpegs = request.question, request.jpegs
        prompt_tokens = self._most_prompt_tokens(question, len(jpegs))
        most_tokens = prompt_tokens + self._config.max_tokens
        worst = cost_nano_usd(self._config, prompt_tokens, self._config.max_tokens)
        booking = self._ledger.book(worst)
        cost = 0
        try:
            self._requests.take(1)
            self._tokens.take(most_tokens)
            with self._lock:
                self.num_sent += 1
            cost = worst  # whatever ends the request in an unforeseen way
            reply = self._client.ask(question, request.indices, jpegs, mode, request.seed)
            attempt = self._paid(reply, question, mode, request.seed, prompt_tokens)
            answers = request.keep(attempt)
            cost = attempt.cost_nano_usd
            self._tokens.give_back(most_tokens - attempt.prompt_tokens - attempt.completion_tokens)
            return answers
        except Unavailable as error:
            with self._lock:
                self.num_unavailable += 1
            cost = worst if error.may_be_charged else 0
            raise
        except NotAccepted:
            cost = 0
            raise
        finally:
            self._ledger.settle(booking, cost)

    def _paid(self, reply: Reply, question: Question, mode: Mode, seed: int, most_prompt_tokens: int) -> Attempt:
        outcome, detail = judge(reply, question.reply)
        prompt_tokens = most_prompt_tokens if reply.prompt_tokens is None else reply.prompt_tokens
        completion_tokens = self._config.max_tokens if reply.completion_tokens is None else reply.completion_tokens
        with self._lock:
            self._excess = max(self._excess, self._excess * prompt_tokens / most_prompt_tokens)
        return Attempt(
            outcome=outcome,
            detail=detail,
            content=reply.content,
            finish_reason=reply.finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_nano_usd=cost_nano_usd(self._config, prompt_tokens, completion_tokens),
            seed=seed,
            structured=mode,
            model=reply.model,
            system_fingerprint=reply.system_fingerprint,
        )

    def _most_prompt_tokens(self, question: Question, num_images: int) -> int:
        """The most that a prompt can be charged: a token a byte of text, and the recipe's figure for images.

        An endpoint that charged more than that once is expected to do so again.
        """
        form = question.reply.model_json_schema()
        texts = [*asdict(question.wording).values(), question.before, question.after, form]
        num_bytes = sum(len(str(text).encode()) for text in texts)
        return int(self._excess * (num_bytes + num_images * self._config.tokens_per_image + _OVERHEAD_TOKENS)) + 1


def _asked_pause_s(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.retry_after_s if isinstance(error, Unavailable) else None
