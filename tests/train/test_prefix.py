"""What samples of one clip have in common."""

import pytest

from hazardline.train.prefix import Sample, Turn, share_prefix

CLIP = [1, 9, 9, 9, 2]


def test_the_common_tokens_stand_once() -> None:
    prefix, turns = share_prefix([Sample([*CLIP, 5, 6, 7], 7), Sample([*CLIP, 4, 3, 8, 7], 7)])
    assert prefix == CLIP
    assert turns == [Turn([5, 6], [7]), Turn([4, 3], [8, 7])]


def test_a_common_beginning_of_the_questions_counts() -> None:
    prefix, turns = share_prefix([Sample([*CLIP, 5, 6, 7], 7), Sample([*CLIP, 5, 3, 7], 7)])
    assert prefix == [*CLIP, 5]
    assert [turn.question for turn in turns] == [[6], [3]]


def test_a_merge_over_the_border_makes_the_prefix_shorter() -> None:
    """The tokenizer joined the clip's last token to the second question."""
    prefix, turns = share_prefix([Sample([*CLIP, 5, 7], 6), Sample([*CLIP[:-1], 25, 7], 5)])
    assert prefix == CLIP[:-1]
    assert [turn.question for turn in turns] == [[2, 5], [25]]


def test_the_token_that_predicts_an_answer_belongs_to_its_turn() -> None:
    prefix, turns = share_prefix([Sample([*CLIP, 5, 7, 8], 6), Sample([*CLIP, 5, 8, 8, 8], 6)])
    assert prefix == CLIP
    assert turns == [Turn([5], [7, 8]), Turn([5], [8, 8, 8])]


def test_a_single_sample_keeps_one_token_of_its_question() -> None:
    assert share_prefix([Sample([*CLIP, 5, 7], 6)]) == (CLIP, [Turn([5], [7])])


@pytest.mark.parametrize("samples", [[], [Sample([1, 2], 0)], [Sample([1, 2], 2)]])
def test_a_sample_needs_a_prompt_and_an_answer(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="each with a prompt and an answer"):
        share_prefix(samples)
