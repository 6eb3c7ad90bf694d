"""Answers with a shared prefix are those of one native `generate` call a question."""

import pytest
import torch
from peft import PeftModel

from hazardline.vlm.generate import answer
from hazardline.vlm.layout import Layout
from hazardline.vlm.model import core_model
from tests.vlm.small import grid, native_features, random_patches, random_prefix, random_turns

LIMITS = [6, 12, 3, 9]


def native_answer(
    model: PeftModel, ids: list[int], patches: torch.Tensor, layout: Layout, limit: int, end: int
) -> list[int]:
    prompt = torch.tensor([ids])
    found = core_model(model).generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        pixel_values_videos=patches.flatten(0, 1),
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=end,
        pad_token_id=0,
        **grid(layout, len(patches)),
    )
    tokens: list[int] = found[0, len(ids) :].tolist()
    return tokens[: tokens.index(end)] if end in tokens else tokens


@pytest.fixture
def questions() -> list[list[int]]:
    return [turn.question for turn in random_turns([(3, 1), (11, 1), (1, 1), (6, 1)], seed=4)]


def test_answers_are_those_of_native_generate(branch: PeftModel, layout: Layout, questions: list[list[int]]) -> None:
    patches, prefix = random_patches(layout), random_prefix(layout)
    features = native_features(branch, patches, layout)
    free = [native_answer(branch, prefix + q, patches, layout, 12, end=1) for q in questions]
    end = next(token for token in free[1][4:] if token not in free[1][:4])  # ends one answer early, none of length 0
    expected = [
        native_answer(branch, prefix + question, patches, layout, limit, end)
        for question, limit in zip(questions, LIMITS, strict=True)
    ]
    found = answer(branch, prefix, features, questions, LIMITS, end)
    assert [one.ids for one in found] == expected
    assert 0 < len(expected[1]) < LIMITS[1]
    assert len({tuple(ids) for ids in expected}) == len(expected)


def test_first_logits_are_those_of_the_native_forward_pass(
    branch: PeftModel, layout: Layout, questions: list[list[int]]
) -> None:
    patches, prefix = random_patches(layout), random_prefix(layout)
    found = answer(branch, prefix, native_features(branch, patches, layout), questions, LIMITS, 2)
    for one, question in zip(found, questions, strict=True):
        with torch.no_grad():
            logits = core_model(branch)(
                input_ids=torch.tensor([prefix + question]),
                pixel_values_videos=patches.flatten(0, 1),
                **grid(layout, len(patches)),
            ).logits[0, -1]
        torch.testing.assert_close(one.first_logits, logits, rtol=1e-4, atol=1e-4)


def test_no_question_no_answer(branch: PeftModel, layout: Layout) -> None:
    features = native_features(branch, random_patches(layout), layout)
    assert answer(branch, random_prefix(layout), features, [], [], 2) == []
