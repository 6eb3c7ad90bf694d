"""Under a schema every walk over allowed tokens is an answer of the schema, written as `json.dumps` writes it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hazardline.constrained import Constraint, Grammars
from hazardline.hazardnet import FIELDS, classification_schema, format_classification, parse_classification
from hazardline.vlm.layout import Layout

TOKENIZER_PATH = Path(__file__).parents[1] / "src/hazardline/pocket/checkpoint/tokenizer.json"
TOKENIZER = Tokenizer.from_file(str(TOKENIZER_PATH))
TOKENIZER_SIZE = TOKENIZER.get_vocab_size()
VOCAB_SIZE = TOKENIZER_SIZE + 100
END_ID = TOKENIZER.token_to_id("<|im_end|>")
PREFIX = Layout().answer_prefix


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(TOKENIZER_PATH, VOCAB_SIZE, END_ID)


def walk(constraint: Constraint, seed: int) -> list[int]:
    """Tokens of a random answer without the end token."""
    random = np.random.default_rng(seed)
    ids: list[int] = []
    while True:
        allowed = constraint.allowed()
        assert allowed.shape == (VOCAB_SIZE,) and allowed.any()
        token = int(random.choice(np.flatnonzero(allowed)))
        constraint.accept(token)
        if token == END_ID:
            return ids
        ids.append(token)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["", PREFIX]))
def test_every_walk_is_a_classification(grammars: Grammars, seed: int, prefix: str) -> None:
    ids = walk(grammars.constraint(classification_schema(), prefix), seed)
    text = TOKENIZER.decode(ids, skip_special_tokens=False)
    values = parse_classification(text)
    assert values is not None
    assert text == prefix + json.dumps(values) == prefix + format_classification(values)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*(st.sampled_from(values) for values in FIELDS.values())))
def test_every_training_answer_is_allowed(grammars: Grammars, values: tuple[str, ...]) -> None:
    answer = format_classification(dict(zip(FIELDS, values, strict=True)))
    constraint = grammars.constraint(classification_schema(), PREFIX)
    for token in [*TOKENIZER.encode(PREFIX + answer).ids, END_ID]:
        assert constraint.allowed()[token]
        constraint.accept(token)
    assert np.flatnonzero(constraint.allowed()).tolist() == [END_ID]


def test_special_and_padding_tokens_are_never_allowed(grammars: Grammars) -> None:
    specials = [TOKENIZER.token_to_id(token) for token in ("<|endoftext|>", "<|im_start|>", "<|video_pad|>")]
    constraint = grammars.constraint({"type": "string"})  # any character may come
    for token in TOKENIZER.encode('"word').ids:
        allowed = constraint.allowed()
        assert not allowed[specials].any() and not allowed[TOKENIZER_SIZE:].any() and not allowed[END_ID]
        constraint.accept(token)
    allowed = constraint.allowed()
    assert allowed.sum() > TOKENIZER_SIZE // 2
    assert not allowed[specials].any() and not allowed[TOKENIZER_SIZE:].any() and not allowed[END_ID]


def test_constraints_of_one_schema_do_not_share_a_state(grammars: Grammars) -> None:
    one, other = (grammars.constraint(classification_schema()) for _ in range(2))
    before = other.allowed()
    one.accept(int(np.flatnonzero(one.allowed())[0]))
    assert (other.allowed() == before).all()


def test_a_token_that_is_not_allowed_is_refused(grammars: Grammars) -> None:
    constraint = grammars.constraint(classification_schema())
    with pytest.raises(ValueError, match="not allowed here"):
        constraint.accept(TOKENIZER.token_to_id("Y"))


@pytest.mark.parametrize("schema", [{"type": "wrong"}, {"type": "string", "pattern": "a("}])
def test_what_is_no_schema_is_refused(grammars: Grammars, schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no grammar for the schema"):
        grammars.constraint(schema)


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab"):
        Grammars(TOKENIZER_PATH, TOKENIZER_SIZE - 1, END_ID)
