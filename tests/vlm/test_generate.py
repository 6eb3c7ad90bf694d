"""Answers with a shared prefix are those of one native `generate` call a question."""

import pytest
import torch
from peft import PeftModel

from hazardline.vlm.family import family_of
from hazardline.vlm.generate import answer
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import core_model, text_attention
from tests.vlm.small import Scene, random_turns, small_branch, small_scene

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
