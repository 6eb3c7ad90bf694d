"""Answers under a JSON schema: which tokens may come next, by llguidance's grammars over the model's own tokens.

Greedy decoding over the allowed tokens gives an answer that always parses, unless its limit cuts it short. No torch: a
vehicle's computer uses it too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

_AS_JSON_DUMPS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Constraint:
    """The state of one answer under a schema."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Tokens that may come next, (vocabulary,); after a whole answer the end token alone, and never none."""
        mask: npt.NDArray[np.bool_] = np.frombuffer(self._matcher.compute_logit_bias(), dtype=np.uint8) != 0
        return mask

    def accept(self, token: int) -> None:
        """Go on by a token; ValueError where it is not an allowed one."""
        if not self._matcher.consume_token(token):
            raise ValueError(f"token {token} is not allowed here: {self._matcher.get_error()}")


class Grammars:
    """Makes constraints over the tokens of one tokenizer.

    Special tokens other than the end token are never allowed, nor are the tokens with which a model's vocabulary is
    padded beyond its tokenizer's.
    """

    def __init__(self, tokenizer_path: Path, vocab_size: int, end_id: int) -> None:
        """Read a tokenizer.

        Args:
            tokenizer_path: `tokenizer.json` beside a checkpoint or in a bundle.
            vocab_size: of the model's logits; not below that of the tokenizer.
            end_id: id that ends an answer.

        Raises:
            ValueError: the tokenizer cannot be read, or the vocabulary is too small for it.
        """
        self._tokenizer = LLTokenizer(tokenizer_path.read_text("utf-8"), n_vocab=vocab_size, eos_token=end_id)

    def constraint(self, schema: Mapping[str, Any], prefix: str = "") -> Constraint:
        """A fresh constraint for one answer.

        The answer is `prefix`, then JSON as `json.dumps` writes it on one line (for ASCII strings), keys in the order
        of the schema's properties, then the end token.

        Args:
            schema: JSON schema.
            prefix: what stands before the JSON (`Layout.answer_prefix`).

        Raises:
            ValueError: the schema is none, or uses what llguidance does not know.
        """
        document = json.dumps({**schema, "x-guidance": _AS_JSON_DUMPS})
        before = f"{json.dumps(prefix)} " if prefix else ""
        matcher = LLMatcher(self._tokenizer, f"start: {before}answer\nanswer: %json {document}", log_level=0)
        if matcher.is_error():
            raise ValueError(f"no grammar for the schema {json.dumps(schema)}: {matcher.get_error()}")
        return Constraint(matcher)
