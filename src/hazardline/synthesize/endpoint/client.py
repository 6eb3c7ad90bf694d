"""One exchange with an OpenAI-compatible endpoint (`POST <base_url>/chat/completions`), through the `openai` client.

The client's own retries are off: what a try costs and when the next may come is decided in `asking`. An answer is read
in pieces, so that neither a trickle nor a flood of bytes holds a run up.
"""

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import openai
from pydantic import BaseModel, ConfigDict, ValidationError

from hazardline import environment
from hazardline.errors import UserError
from hazardline.redaction import without
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.synthesize.endpoint.frames import RATE_HZ
from hazardline.synthesize.endpoint.prompts import Question

Mode = Literal["json_schema", "json_object", "text"]
"""How an answer is held to its form: under a schema, as some JSON object, or by the wording alone."""
MAX_ANSWER_BYTES = 4 << 20


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered; token counts are None where it gives none."""

    content: str | None
    refusal: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str
    system_fingerprint: str


class Unavailable(Exception):
    """No answer this time: the endpoint is busy, fails, or was not reached.

    Attributes:
        reason: a fixed word.
        detail: what was found.
        retry_after_s: when the endpoint asks to be tried again, if it says so.
        may_be_charged: whether it may have answered, and charged for it, without the answer arriving.
    """

    def __init__(self, reason: str, detail: str, retry_after_s: float | None, may_be_charged: bool) -> None:
        """Say what happened."""
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
        self.retry_after_s, self.may_be_charged = retry_after_s, may_be_charged


class NotAccepted(Exception):
    """The endpoint does not take this request (status 400, 413, 415, 422); another try would not change that."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Message(_Lenient):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Lenient):
    message: _Message | None = None
    finish_reason: str | None = None


class _Usage(_Lenient):
    prompt_tokens: int
    completion_tokens: int


class _Completion(_Lenient):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    system_fingerprint: str | None = None


class EndpointClient:
    """Asks one endpoint. Threads may share it."""

    def __init__(self, config: EndpointConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """Connect nothing yet: address and key come from the recipe and the environment.

        Raises:
            UserError: the address is none.
        """
        self._config, self._clock = config, clock
        self._key = environment.annotator_key()
        self._address = config.base_url or environment.annotator_url()
        if self._address is not None and not self._address.startswith(("http://", "https://")):
            raise UserError(
                f"synthesize.endpoint.base_url (or {environment.ANNOTATOR_URL}): expected an address like "
                f"http://localhost:8000/v1, got {self._address!r}"
            )
        self._client = openai.OpenAI(
            api_key=self._key or "none", base_url=self._address, timeout=config.timeout_s, max_retries=0
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, question: Question, indices: Sequence[int], jpegs: Sequence[bytes], mode: Mode, seed: int) -> Reply:
        """Ask once.

        Args:
            question: the texts and the form of the answer.
            indices: numbers of the frames on the clock of `frames.RATE_HZ`.
            jpegs: those frames.
            mode: how the answer is held to its form.
            seed: sampling seed.

        Raises:
            Unavailable: no answer this time.
            NotAccepted: this request will not be answered.
            UserError: no request will be: a wrong key, address or model.
        """
        arguments = self._arguments(question, indices, jpegs, mode, seed)
        deadline, size_bytes = self._clock() + self._config.timeout_s, 0
        chunks = []
        try:
            with self._client.chat.completions.with_streaming_response.create(**arguments) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    size_bytes += len(chunk)
                    if size_bytes > MAX_ANSWER_BYTES:
                        raise Unavailable("too_long", f"over {MAX_ANSWER_BYTES} bytes", None, may_be_charged=True)
                    if self._clock() > deadline:
                        raise self._timeout()
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise self._timeout() from None
        except openai.APIStatusError as error:
            raise self._of_status(error) from None
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            cause = error.__cause__ or error
            # a connection that was never made cannot have been charged for
            unsent = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
            detail = self._redact(f"{type(cause).__name__}: {cause}")
            raise Unavailable("unreachable" if unsent else "cut_off", detail, None, not unsent) from None
        return _reply(b"".join(chunks))

    def _arguments(
        self, question: Question, indices: Sequence[int], jpegs: Sequence[bytes], mode: Mode, seed: int
    ) -> dict[str, Any]:
        content: list[dict[str, Any]] = [_text(question.before)] if question.before else []
        for index, jpeg in zip(indices, jpegs, strict=True):
            if len(indices) > 1:
                content.append(_text(f"Time {index / RATE_HZ:.1f}s:"))
            url = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        content.append(_text(question.after))
        arguments: dict[str, Any] = {
            "model": self._config.model,
            "messages": [
                {"role": "system", "content": question.wording.system},
                {"role": "user", "content": content},
            ],
            "seed": seed,
            self._config.max_tokens_name: self._config.max_tokens,
        }
        if self._config.temperature is not None:
            arguments["temperature"] = self._config.temperature
        if mode == "json_schema":
            form = {"name": question.reply.__name__, "schema": question.reply.model_json_schema(), "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": form}
        elif mode == "json_object":
            arguments["response_format"] = {"type": "json_object"}
        return arguments

    def _timeout(self) -> Unavailable:
        return Unavailable("timeout", f"no whole answer within {self._config.timeout_s:g} s", None, may_be_charged=True)

    def _of_status(self, error: openai.APIStatusError) -> Exception:
        status, detail = error.status_code, self._redact(error.message)
        where = self._address or "OpenAI"
        if status in (401, 403):
            return UserError(f"{where} refuses the key; set {environment.ANNOTATOR_KEY} to a valid one ({detail})")
        if status == 404:
            return UserError(
                f"{where} knows no model {self._config.model!r}, or has no chat completions there; "
                f"mend synthesize.endpoint.model or base_url ({detail})"
            )
        if error.code == "insufficient_quota":
            return UserError(f"{where}: the account has no credit left; top it up and run again ({detail})")
        if status == 429:
            return Unavailable("busy", detail, _retry_after_s(error.response), may_be_charged=False)
        if status >= 500 or status in (408, 409):
            return Unavailable("failing", detail, _retry_after_s(error.response), may_be_charged=False)
        return NotAccepted(detail)

    def _redact(self, text: str) -> str:
        """One line without the key: endpoints repeat what they were sent."""
        return " ".join(without(text, [self._key]).split())[:300]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds of `Retry-After`; dates are rare at such endpoints and count as nothing said."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _reply(body: bytes) -> Reply:
    try:
        found = _Completion.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        detail = f"{first['msg']} at {'.'.join(map(str, first['loc'])) or 'the whole'}, {len(body)} bytes"
        raise Unavailable("not_an_answer", detail, None, may_be_charged=True) from None
    choice = found.choices[0] if found.choices else _Choice()
    message = choice.message or _Message()
    return Reply(
        content=message.content,
        refusal=message.refusal,
        finish_reason=choice.finish_reason,
        prompt_tokens=found.usage.prompt_tokens if found.usage else None,
        completion_tokens=found.usage.completion_tokens if found.usage else None,
        model=found.model or "unnamed",
        system_fingerprint=found.system_fingerprint or "none",
    )
