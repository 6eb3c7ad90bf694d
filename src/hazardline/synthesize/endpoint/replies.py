"""What an endpoint's answer is worth: the document that it should be, or why it is none."""

import re
from typing import Literal

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.synthesize.endpoint.client import Reply

Outcome = Literal["answered", "refused", "truncated", "empty", "wrong_schema"]
"""What an answer that was paid for turned out to be."""
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def judge(reply: Reply, form: type[Document]) -> tuple[Outcome, str]:
    """Outcome of an answer, and what was found where it is of no use."""
    if reply.refusal:
        return "refused", _short(reply.refusal)
    if reply.finish_reason == "content_filter":
        return "refused", "the endpoint's content filter ended the answer"
    if reply.finish_reason == "length":
        return "truncated", f"the answer was cut off at {reply.completion_tokens} tokens (max_tokens)"
    if not (reply.content or "").strip():
        return "empty", f"no text (finish_reason {reply.finish_reason})"
    try:
        read(reply.content or "", form)
    except UserError as error:
        return "wrong_schema", _short(str(error))
    return "answered", ""


def read(content: str, form: type[Document]) -> Document:
    """The document in an answer, which may stand in a Markdown fence or behind a thought.

    Raises:
        UserError: there is none, or its fields are not those that were asked for.
    """
    text = _THOUGHT.sub("", content, count=1)
    found = _OBJECT.search(text)
    return form.parse_json(found[0] if found else text, "answer")


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
