"""Answers with a shared prefix are those of one native `generate` call a question; under a schema they parse."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hazardline.constrained import Grammars
from hazardline.hazardnet import classification_schema, parse_classification
from hazardline.vlm.family import family_of
from hazardline.vlm.generate import answer
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import core_model, text_attention
from tests.vlm.small import IDS, VOCAB_SIZE, Scene, random_turns, small_branch, small_scene

LIMITS = [6, 12, 3, 9]
LAYOUT = Layout(width_px=96, height_px=48, patch_px=12, merge=2)


@pytest.fixture(params=["video_llama_3", "qwen2_vl"])
def model(request: pytest.FixtureRequest) -> PeftModel:
    return small_branch(request.param, LAYOUT)


@pytest.fixture
def scene(model: PeftModel) -> Scene:
    return small_scene(model, LAYOUT, [(1, 1)])


def native_answer(model: PeftModel, scene: Scene, question: list[int], limit: int, end: int) -> list[int]:
    core = core_model(model)
    inputs = family_of(core).native_inputs(core, [*scene.row.prefix, *question], scene.media)
    with text_attention(model, "sdpa"):
        found = core.generate(
            attention_mask=torch.ones_like(inputs["input_ids"]),
            do_sample=False,
            max_new_tokens=limit,
            eos_token_id=end,
            pad_token_id=0,
            **inputs,
        )
    tokens: list[int] = found[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens[: tokens.index(end)] if end in tokens else tokens


@pytest.fixture
def questions() -> list[list[int]]:
    return [turn.question for turn in random_turns([(3, 1), (11, 1), (1, 1), (6, 1)], seed=4)]


def test_answers_are_those_of_native_generate(model: PeftModel, scene: Scene, questions: list[list[int]]) -> None:
    row = scene.row
    free = [native_answer(model, scene, question, 12, end=1) for question in questions]
    end = next(token for token in free[1][4:] if token not in free[1][:4])  # ends one answer early, none of length 0
    expected = [
        native_answer(model, scene, question, limit, end) for question, limit in zip(questions, LIMITS, strict=True)
    ]
    for _ in range(2):  # the model keeps nothing of the clip before
        found = answer(model, row.prefix, row.features, questions, LIMITS, end, row.grids)
        assert [one.ids for one in found] == expected
    assert 0 < len(expected[1]) < LIMITS[1]
    assert len({tuple(ids) for ids in expected}) >= 3


def test_first_logits_are_those_of_the_native_forward_pass(
    model: PeftModel, scene: Scene, questions: list[list[int]]
) -> None:
    row, core = scene.row, core_model(model)
    found = answer(model, row.prefix, row.features, questions, LIMITS, 2, row.grids)
    for one, question in zip(found, questions, strict=True):
        inputs = family_of(core).native_inputs(core, [*row.prefix, *question], scene.media)
        with torch.no_grad(), text_attention(model, "sdpa"):
            logits = core(**inputs).logits[0, -1]
        torch.testing.assert_close(one.first_logits, logits, rtol=1e-4, atol=1e-4)


def test_no_question_no_answer(model: PeftModel, scene: Scene) -> None:
    assert answer(model, scene.row.prefix, scene.row.features, [], [], 2, scene.row.grids) == []


@pytest.fixture
def byte_tokenizer(tmp_path: Path) -> Path:
    """One token for every byte, and fewer tokens than the models have."""
    specials = [f"<|special_{number}|>" for number in range(1 + max(IDS.values()))]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*specials, *alphabet])}
    assert len(vocabulary) < VOCAB_SIZE
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_an_answer_under_a_schema_parses_and_leaves_the_others_as_they_are(
    model: PeftModel, scene: Scene, questions: list[list[int]], byte_tokenizer: Path
) -> None:
    row, tokenizer = scene.row, Tokenizer.from_file(str(byte_tokenizer))
    grammars = Grammars(byte_tokenizer, VOCAB_SIZE, IDS["end"])
    schemas = [None, classification_schema(), None, classification_schema()]
    limits = [6, 300, 12, 300]
    free = answer(model, row.prefix, row.features, questions, [6, 12, 12, 12], IDS["end"], row.grids)
    found = answer(
        model,
        row.prefix,
        row.features,
        questions,
        limits,
        IDS["end"],
        row.grids,
        [None if schema is None else grammars.constraint(schema, " ") for schema in schemas],
    )
    assert [found[row].ids for row in (0, 2)] == [free[row].ids for row in (0, 2)]
    for row_number in (1, 3):
        text = tokenizer.decode(found[row_number].ids)
        assert text.startswith(' {"') and parse_classification(text) is not None
        assert tokenizer.decode(free[row_number].ids)[:1] != " "  # the model itself would have said something else
    for one, other in zip(found, free, strict=True):
        torch.testing.assert_close(one.first_logits, other.first_logits, rtol=0, atol=0)


def test_an_answer_that_its_limit_cuts_short_does_not_parse(
    model: PeftModel, scene: Scene, questions: list[list[int]], byte_tokenizer: Path
) -> None:
    row, constraint = scene.row, Grammars(byte_tokenizer, VOCAB_SIZE, IDS["end"]).constraint(classification_schema())
    found = answer(model, row.prefix, row.features, questions[:1], [20], IDS["end"], row.grids, [constraint])
    assert len(found[0].ids) == 20
    assert parse_classification(Tokenizer.from_file(str(byte_tokenizer)).decode(found[0].ids)) is None
