"""Rows: plain and augmented, their answers derived anew."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hazardline.errors import UserError
from hazardline.tables import QA, SCENES, read_table, write_table
from hazardline.tasks import parse_interval, parse_point
from hazardline.train.clips import Clip, Question, choose, load_clips
from hazardline.train.config import AugmentationConfig, TrainConfig
from hazardline.train.dataset import RowMaker, View, crop, swap_sides, time_targets, time_token_ids, visible_questions
from hazardline.train.features import PLAIN, FeatureReader, Variant
from hazardline.train.prefix import ClipRow
from hazardline.vlm.text import Prompter

CRASH = Clip(
    "clip",
    "crash",
    (
        Question("crash_recognition", "Is there a crash?", "Yes"),
        Question("crash_localization", "From when to when?", "4.0 - 4.6 seconds"),
        Question("pre_crash_localization", "When is the first sign?", "3.0 seconds"),
    ),
    pre_crash_start_s=3.0,
    crash_start_s=4.0,
    crash_end_s=4.6,
)
TIMES_S = np.arange(40) * 0.2


@pytest.fixture(scope="module")
def prompter(base: Path) -> Prompter:
    return Prompter.load(base)


@pytest.fixture(scope="module")
def clips(inputs: dict[str, Path]) -> list[Clip]:
    return load_clips(inputs["ingest"], inputs["synthesize"], "linguistic", "train")


def maker(prompter: Prompter, features: Path, config: TrainConfig) -> RowMaker:
    return RowMaker(prompter, FeatureReader(features, prompter.layout), config, config.weights_of("linguistic"))


def answers(prompter: Prompter, row: ClipRow) -> list[str]:
    return [prompter.decode(turn.answer) for turn in row.turns]


def test_branches_see_the_clips_that_have_their_questions(inputs: dict[str, Path], clips: list[Clip]) -> None:
    assert len(clips) == 12 and {len(clip.questions) for clip in clips} == {4, 6}
    perception = load_clips(inputs["ingest"], inputs["synthesize"], "perception", "train")
    assert len(perception) == 6 and all(clip.is_crash and len(clip.questions) == 2 for clip in perception)
    assert len(load_clips(inputs["ingest"], inputs["synthesize"], "linguistic", "validation")) == 3


def test_the_choice_of_validation_clips_is_fixed(clips: list[Clip]) -> None:
    assert choose(clips, 5) == choose(list(reversed(clips)), 5)
    assert choose(clips, 99) == clips and choose(clips, 0) == []


def test_a_plain_row_says_what_the_table_says(prompter: Prompter, features: Path, clips: list[Clip]) -> None:
    config = TrainConfig()
    row = maker(prompter, features, config).plain(clips[0])
    assert answers(prompter, row)[0] == "Yes"
    assert answers(prompter, row)[1] == clips[0].questions[1].answer
    assert [turn.weight for turn in row.turns] == [4.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert row.features.dtype == torch.float32 and row.features.shape == (20, 6, 32)
    assert row.prefix.count(prompter.video_id) == 120


def test_times_carry_their_share_of_a_localization_answer(
    prompter: Prompter, features: Path, clips: list[Clip]
) -> None:
    row = maker(prompter, features, TrainConfig()).plain(clips[0])
    times = set(time_token_ids(prompter))
    interval, point = row.turns[4], row.turns[5]
    for turn, count in ((interval, 2), (point, 1)):
        assert turn.token_weights is not None and sum(turn.token_weights) == pytest.approx(1.0)
        is_time = [token in times for token in turn.answer]
        assert sum(is_time) == count
        share = sum(weight for weight, found in zip(turn.token_weights, is_time, strict=True) if found)
        assert share == pytest.approx(0.85 + 0.15 * count / len(turn.answer))
    assert row.turns[0].token_weights is None
    even = maker(prompter, features, TrainConfig.parse({"time_token_share": 0.0}, "test")).plain(clips[0])
    assert even.turns[4].token_weights is None


def test_fixed_negative_answers_may_weigh_less(prompter: Prompter, features: Path, clips: list[Clip]) -> None:
    config = TrainConfig(task_weights={"crash_recognition": 4.0}, negative_answer_weight=0.25)
    calm, crash = (next(clip for clip in clips if clip.is_crash == is_crash) for is_crash in (False, True))
    rows = maker(prompter, features, config)
    assert [turn.weight for turn in rows.plain(calm).turns] == [4.0, 0.25, 0.25, 0.25]
    assert [turn.weight for turn in rows.plain(crash).turns] == [4.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_a_visit_is_a_function_of_its_generator(prompter: Prompter, features: Path, clips: list[Clip]) -> None:
    one, other = maker(prompter, features, TrainConfig()), maker(prompter, features, TrainConfig())
    seen = set()
    for epoch in range(12):
        first = one.augmented(clips[2], np.random.default_rng([0, epoch]))
        again = other.augmented(clips[2], np.random.default_rng([0, epoch]))
        assert first.prefix == again.prefix and first.turns == again.turns
        assert torch.equal(first.features, again.features)
        seen.add((len(first.prefix), float(first.features.sum())))
    assert len(seen) > 6


def test_augmented_answers_follow_the_frames(prompter: Prompter, features: Path, clips: list[Clip]) -> None:
    """The crash is always inside, and the shift of its times is the time that was cut off."""
    config = TrainConfig.parse({"augmentation": {"crop_probability": 1.0, "min_length_s": 1.0}}, "test")
    rows = maker(prompter, features, config)
    clip, dropped, mirrored = clips[2], 0, 0
    assert clip.crash_start_s is not None and clip.crash_end_s is not None
    for epoch in range(60):
        row = rows.augmented(clip, np.random.default_rng([1, epoch]))
        texts = answers(prompter, row)
        interval = parse_interval(next(text for text in texts if " - " in text))
        assert interval is not None
        length_s = (len(row.features) - 1) * 0.2
        assert 0 <= interval[0] <= clip.crash_start_s + 0.11
        assert interval[1] <= length_s + 0.11
        assert interval[1] - interval[0] == pytest.approx(clip.crash_end_s - clip.crash_start_s, abs=0.21)
        dropped += len(texts) == 5
        if len(texts) == 6:
            point = parse_point(texts[5])
            assert point is not None and interval[0] - point == pytest.approx(1.3, abs=0.21)
        description = next(text for text in texts if "hits" in text)
        assert re.search("from the (left|right)", description)
        mirrored += "right" in description
    assert 0 < dropped < 60 and 15 < mirrored < 45


def test_a_crop_keeps_the_crash_and_its_limits() -> None:
    settings = AugmentationConfig()
    firsts, lasts = set(), set()
    for seed in range(300):
        view = crop(CRASH, View(PLAIN, 0, 39, 0.0), TIMES_S, settings, np.random.default_rng(seed), True)
        assert view.shift_s == pytest.approx(TIMES_S[view.first])
        assert view.shift_s < 3.0 and TIMES_S[view.last] >= 4.6
        assert TIMES_S[39] - TIMES_S[view.last] <= 2.8 and TIMES_S[view.last] - view.shift_s >= 3.0
        firsts.add(view.first)
        lasts.add(view.last)
    assert 0 in firsts and max(firsts) >= 13 and 39 in lasts and min(lasts) <= 27


def test_a_late_start_is_for_clips_that_have_other_questions() -> None:
    early = replace(CRASH, pre_crash_start_s=1.0)
    settings = AugmentationConfig(late_start_probability=1.0)
    late = [
        crop(early, View(PLAIN, 0, 39, 0.0), TIMES_S, settings, np.random.default_rng(seed), True) for seed in range(50)
    ]
    kept = [
        crop(early, View(PLAIN, 0, 39, 0.0), TIMES_S, settings, np.random.default_rng(seed), False)
        for seed in range(50)
    ]
    assert max(view.shift_s for view in late) > 1.0 and max(view.shift_s for view in kept) <= 0.9
    blind = next(view for view in late if view.shift_s > 1.0)
    assert [q.task for q in visible_questions(early, blind, early.questions)] == [
        "crash_recognition",
        "crash_localization",
    ]
    assert all(len(visible_questions(early, view, early.questions)) == 3 for view in kept)


def test_a_near_miss_keeps_its_closest_moment() -> None:
    clip = Clip("clip", "near_miss", (Question("crash_recognition", "?", "No"),), event_s=3.0)
    for seed in range(100):
        view = crop(clip, View(PLAIN, 0, 39, 0.0), TIMES_S, AugmentationConfig(), np.random.default_rng(seed), True)
        assert view.shift_s < 3.0 and TIMES_S[view.last] >= 4.2 - 1e-9


def test_a_short_clip_is_not_cropped() -> None:
    view = View(PLAIN, 0, 12, 0.0)
    times_s = TIMES_S[:13]
    clip = replace(CRASH, pre_crash_start_s=1.0, crash_start_s=1.5, crash_end_s=2.0)
    settings = AugmentationConfig(min_length_s=2.4)
    found = {crop(clip, view, times_s, settings, np.random.default_rng(seed), True) for seed in range(50)}
    assert found == {view}


def test_sides_are_exchanged_as_whole_words() -> None:
    assert swap_sides("Left turn, right of way, leftover") == "Right turn, left of way, leftover"


def test_a_phase_moves_times_but_drops_nothing() -> None:
    view = View(Variant(1, False), 0, 38, 0.1)
    assert visible_questions(replace(CRASH, pre_crash_start_s=0.0), view, CRASH.questions) == list(CRASH.questions)


def test_time_tokens_are_in_order_and_soft_targets_need_them(prompter: Prompter) -> None:
    ids = time_token_ids(prompter)
    assert len(ids) >= 50 and ids[5] == prompter.encode(" 1.0")[0]
    targets = time_targets(prompter, 1000, 0.8)
    assert targets is not None and int(targets.index[ids[5]]) == 5
    assert targets.soft[5].argmax() == 5 and float(targets.soft[5].sum()) == pytest.approx(1.0)
    assert time_targets(prompter, 1000, None) is None
    words = Prompter(prompter._tokenizer, prompter.layout.model_copy(update={"time_format": "Time {time:.1f}s:"}))
    assert time_token_ids(words) == []
    with pytest.raises(UserError, match="time_target_sigma_steps"):
        time_targets(words, 1000, 0.8)


def test_tables_that_disagree_are_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    scenes = read_table(SCENES, inputs["ingest"])
    write_table(SCENES, tmp_path, [{**row, "crash_start_s": 0.5} if row["crash_start_s"] else row for row in scenes])
    with pytest.raises(UserError, match=r"qa.parquet: clip_000/crash_localization answers .* run synthesize again"):
        load_clips(tmp_path, inputs["synthesize"], "perception", "train")
    write_table(SCENES, tmp_path, scenes[1:])
    with pytest.raises(UserError, match=r"asks about a clip that .* lacks"):
        load_clips(tmp_path, inputs["synthesize"], "linguistic", "train")
    assert read_table(QA, inputs["synthesize"])
