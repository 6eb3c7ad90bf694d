"""Clips, tokens and the comparison with what a peer fed to its model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.training.checkpoint import build_processor, build_tokenizer
from benchmarks.training.clips import Question, make_clips, read_seen_frames
from benchmarks.training.samples import check_against_peer, read_pixels, sample
from hazardline.train.prefix import Sample, share_prefix

GRID = (2, 16, 16)
QUESTIONS = (Question("what is ahead", "a red car"), Question("why is there a crash", "the truck is fast"))


@pytest.fixture(scope="module")
def processor() -> Any:
    return build_processor("qwen2_vl", build_tokenizer())


@pytest.fixture(scope="module")
def samples(processor: Any) -> list[Sample]:
    return [sample(processor, question, GRID) for question in QUESTIONS]


def fed(samples: list[Sample], padding: int) -> dict[str, Any]:
    labels = [[-100] * one.answer_start + one.ids[one.answer_start :] for one in samples]
    return {
        "input_ids": [one.ids + [padding] * number for number, one in enumerate(samples)],
        "labels": labels,
        "video_grid_thw": [list(GRID)] * len(samples),
    }


def test_a_sample_is_a_conversation_with_its_answer_at_the_end(processor: Any, samples: list[Sample]) -> None:
    text = processor.tokenizer.decode(samples[0].ids[samples[0].answer_start :])
    assert text == "a red car<|im_end|>\n"
    pad = processor.tokenizer.convert_tokens_to_ids("<|video_pad|>")
    assert samples[0].ids.count(pad) == 128


def test_the_questions_of_a_clip_share_their_prefix(samples: list[Sample]) -> None:
    prefix, turns = share_prefix(samples)
    assert len(prefix) > 128
    assert [prefix + turn.question + turn.answer for turn in turns] == [one.ids for one in samples]


def test_a_peer_that_did_the_same_passes(processor: Any, samples: list[Sample]) -> None:
    pad = processor.tokenizer.pad_token_id
    expected = {"tokens_equal": True, "grid_equal": True, "labels_equal": True}
    assert check_against_peer(samples, GRID, fed(samples, pad), pad) == expected
    packed = fed(samples, pad)
    packed["input_ids"] = [[token for one in samples for token in one.ids]]
    assert check_against_peer(samples, GRID, packed, pad) == expected


def test_a_peer_that_did_something_else_is_refused(processor: Any, samples: list[Sample]) -> None:
    pad = processor.tokenizer.pad_token_id
    other = fed(samples, pad)
    other["input_ids"][0][3] += 1
    with pytest.raises(ValueError, match="token ids"):
        check_against_peer(samples, GRID, other, pad)
    with pytest.raises(ValueError, match="video_grid_thw"):
        check_against_peer(samples, (4, 16, 16), fed(samples, pad), pad)


def test_a_clip_is_the_same_every_time(tmp_path: Path, processor: Any) -> None:
    first, second = (make_clips(tmp_path / name, 1, 2, 4)[0] for name in ("a", "b"))
    assert first.questions == second.questions
    assert first.video.read_bytes() == second.video.read_bytes()
    frames = read_seen_frames(first.video, 4)
    assert [frame.size for frame in frames] == [(224, 224)] * 4
    assert (np.asarray(frames[0]) != np.asarray(frames[-1])).any()
    assert read_pixels(processor, first, 4).grid == GRID
