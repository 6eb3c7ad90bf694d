"""What the pocket base is pre-trained on: exact answers, no crash words, no crash clips."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hazardline.errors import UserError
from hazardline.native import AgentTrack, GroundTruth, NativeClip
from hazardline.pocket import corpus, vision
from hazardline.pocket.auxiliary import NUM_AUXILIARY, auxiliary_targets
from hazardline.pocket.captions import describe, longest_run
from hazardline.pocket.english import FORBIDDEN_WORDS, advice, dictation, handbook, spelled
from hazardline.pocket.perception import CELL_TARGETS, Drive, cell_targets, cut, drive_of, frame_targets
from hazardline.pocket.questions import Questions
from hazardline.pocket.vocabulary import number_texts, time_texts, train_tokenizer
from hazardline.progress import SilentReporter
from hazardline.vlm.layout import Layout

NUM_FRAMES = 80


def _agent(name: str, kind: str, colour: str, x_m: np.ndarray, y_m: np.ndarray, speed: np.ndarray) -> AgentTrack:
    frames = [] if name == "ego" else list(range(10, NUM_FRAMES))
    left = np.clip(0.3 + x_m / 20, 0, 0.7)
    return AgentTrack(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        colour=colour,
        length_m=4.4,
        width_m=1.8,
        x_m=x_m.tolist(),
        y_m=y_m.tolist(),
        speed_mps=speed.tolist(),
        braking=(np.gradient(speed) < -0.3).tolist(),
        frames=frames,
        boxes=[(float(left[k]), 0.4, float(left[k]) + 0.2, 0.7) for k in frames],
        visible_px=[100] * len(frames),
    )


@pytest.fixture
def clip() -> NativeClip:
    """The ego car drives at 10 m/s; a red van ahead brakes at 4 s; a blue car comes from the left."""
    time_s = np.arange(NUM_FRAMES) / 10
    ego_speed = np.full(NUM_FRAMES, 10.0)
    van_speed = np.clip(10 - 6 * np.clip(time_s - 4, 0, None), 0, None)
    straight = np.full(NUM_FRAMES, 1.75)
    agents = [
        _agent("ego", "car", "grey", straight, np.cumsum(ego_speed) / 10, ego_speed),
        _agent("A1", "van", "red", straight, 40 + np.cumsum(van_speed) / 10, van_speed),
        _agent("A2", "car", "blue", -20 + 8 * time_s, np.full(NUM_FRAMES, 90.0), np.full(NUM_FRAMES, 8.0)),
    ]
    truth = GroundTruth(
        generator="test", seed=0, fps=10.0, num_frames=NUM_FRAMES, width_px=144, height_px=96, agents=agents
    )
    return NativeClip(
        clip_id="c", video="c.mp4", label="normal", weather="sunny", light="day", scene="urban", ground_truth=truth
    )


@pytest.fixture
def drive(clip: NativeClip) -> Drive:
    return drive_of(clip)


def test_captions_say_what_the_tracks_do(drive: Drive) -> None:
    van, car = drive.tracks
    assert describe(van, drive) == "the van ahead brakes hard"
    assert describe(car, drive) == "a car from the left enters the intersection"


def test_mirroring_swaps_sides_and_keeps_ranges(drive: Drive) -> None:
    mirrored = cut(drive, 0, NUM_FRAMES, mirrored=True)
    assert describe(mirrored.tracks[1], mirrored) == "a car from the right enters the intersection"
    assert np.array_equal(mirrored.nearest_range(), drive.nearest_range())
    assert np.allclose(vision.mirror_cells(cell_targets(drive)), cell_targets(mirrored), atol=1e-6)


def test_cutting_shifts_times(drive: Drive) -> None:
    later = cut(drive, 20, NUM_FRAMES, mirrored=False)
    assert later.num_frames == NUM_FRAMES - 20
    assert later.tracks[0].visible.all()


def test_targets_have_their_shapes_and_are_finite(drive: Drive) -> None:
    assert cell_targets(drive).shape == (NUM_FRAMES, 24, CELL_TARGETS)
    assert frame_targets(drive).shape == (NUM_FRAMES, 9)
    auxiliary = auxiliary_targets(drive, 40)
    assert auxiliary.shape == (40, NUM_AUXILIARY)
    assert np.isfinite(auxiliary).all()


def test_the_nearest_so_far_is_remembered_with_its_motion(drive: Drive) -> None:
    car = drive.tracks[1]
    alone = replace(drive, tracks=(car,))
    nearest = int(alone.nearest_range().argmin())
    assert 0 < nearest < NUM_FRAMES - 10
    expected = [0, 0, 8 / 5, 0, min(car.right_m[nearest] / 5, 2)]
    so_far = auxiliary_targets(alone, 40)[:, 26:31]
    for row in so_far[(nearest + 1) // 2 :]:
        assert row == pytest.approx(expected, abs=1e-4)
    assert not np.array_equal(so_far[0], so_far[-1])


def test_mirroring_turns_only_what_points_sideways(drive: Drive) -> None:
    alone = replace(drive, tracks=drive.tracks[1:])
    plain = auxiliary_targets(alone, 40)
    mirrored = auxiliary_targets(cut(alone, 0, NUM_FRAMES, mirrored=True), 40)
    sideways = np.isin(np.arange(NUM_AUXILIARY), (6, 23, 25, 28, 30))
    assert np.allclose(plain[:, ~sideways], mirrored[:, ~sideways], atol=1e-5)
    assert np.allclose(plain[:, sideways], -mirrored[:, sideways], atol=1e-5)
    assert (np.abs(plain[:, sideways]).max(axis=0) > 0).all()


def test_the_closest_pair_is_found_with_its_speeds_against_each_other(drive: Drive) -> None:
    van, car = drive.tracks
    apart = np.where(van.visible | car.visible, np.hypot(van.x_m - car.x_m, van.y_m - car.y_m), np.inf)
    closest = int(apart.argmin())
    across, along = auxiliary_targets(drive, 40)[-1, 31:33]
    assert across == pytest.approx(8 / 5, rel=0.02)
    assert along == pytest.approx(abs(van.y_m[closest + 2] - van.y_m[closest - 2]) / 0.4 / 10, abs=1e-4)


def test_the_first_sentence_is_about_the_whole_drive(drive: Drive) -> None:
    for count in (1, 3):
        asked = [question for question, _ in Questions(drive, np.random.default_rng(0)).captions(count)]
        assert asked[0] == "Describe the drive ." and len(asked) == count
        assert len(set(asked)) == count


def test_an_occupied_cell_holds_the_nearest_road_user(drive: Drive) -> None:
    cells = cell_targets(drive)[40]
    held = cells[cells[:, 1] > 0]
    assert len(held) > 0
    assert set(held[:, 1].astype(int)) <= {1, 3}  # car, van


def test_answers_follow_from_the_tracks(drive: Drive) -> None:
    asked = dict(Questions(drive, np.random.default_rng(0)).clip_questions(60))
    assert asked["Does the ego car stop ?"] == "No"
    assert asked["Weather , light and place ?"] == "sunny day urban"
    nearest = float(asked["When is a road user nearest ?"].split()[0])
    assert nearest == pytest.approx(int(drive.nearest_range().argmin()) / 10)


def test_the_same_seed_asks_the_same(drive: Drive) -> None:
    first, second = (Questions(drive, np.random.default_rng(3)).clip_questions(20) for _ in range(2))
    assert first == second


def test_no_text_of_pretraining_has_a_crash_word(drive: Drive) -> None:
    rng = np.random.default_rng(1)
    texts = [advice(rng) for _ in range(500)] + [f"{q} {a}" for q, a in handbook(rng, 200)]
    for seed in range(30):
        asker = Questions(cut(drive, 0, NUM_FRAMES, bool(seed % 2)), np.random.default_rng(seed))
        for pairs in (asker.clip_questions(40), asker.frame_questions(20), asker.captions(4)):
            texts += [f"{question} {answer}" for question, answer in pairs]
    found = [(word, text) for text in texts for word in FORBIDDEN_WORDS if word in text.lower()]
    assert not found
    assert len(texts) > 1500


def test_dictated_words_are_never_crash_words_and_the_same_for_a_seed() -> None:
    first, second = (list(dictation(np.random.default_rng(5), 3000)) for _ in range(2))
    assert first == second
    assert not [word for _, answer in first for word in FORBIDDEN_WORDS if word in answer.lower()]
    assert all(question == f"Write: {answer[:-1]}" for question, answer in first)


def test_spelling_keeps_the_text_and_cuts_only_words() -> None:
    text = " Slow down near a 30 km/h sign. déjà vu"
    for seed in range(20):
        pieces = spelled(text, 0.5, np.random.default_rng(seed))
        assert "".join(pieces) == text
    assert spelled(text, 0.0, np.random.default_rng(0)) == [text]
    cut_up = spelled(" Slow down", 1.0, np.random.default_rng(0))
    assert max(len(piece.strip()) for piece in cut_up) <= 3


def test_a_spelled_answer_reads_as_the_plain_one_and_uses_other_tokens(tmp_path: Path) -> None:
    from hazardline.pocket.language import Visits
    from hazardline.pocket.settings import PocketSettings
    from hazardline.train.loss import TimeTargets
    from hazardline.vlm.text import Prompter
    from hazardline.vlm.whitening import Whitening

    layout = Layout()
    tokenizer = train_tokenizer(["Brake gently on the wet road."] * 5, layout, 640)
    prompter = Prompter(tokenizer, layout)
    import torch

    visits = Visits(
        [], tmp_path, prompter, TimeTargets.gaussian([1, 2], 640, 1.0), PocketSettings(),
        Whitening.fit(torch.randn(400, 4), floor=1e-6),
    )  # fmt: skip
    plain = visits.turn("What?", "Brake gently on the wet road.")
    turn = visits.spelled_turn("What?", "Brake gently on the wet road.", 1.0, np.random.default_rng(0))
    assert prompter.decode(turn.answer) == prompter.decode(plain.answer)
    assert len(turn.answer) > len(plain.answer)
    assert turn.answer[-1] == prompter.end_id


def test_the_longest_run_wins() -> None:
    assert longest_run(np.array([1, 1, 0, 1, 1, 1, 0], bool)) == (3, 6)
    assert longest_run(np.array([1, 0, 1], bool)) is None


def test_every_time_and_number_is_one_token_and_the_vocabulary_is_reproducible() -> None:
    texts = ["When is the red van nearest ? 3.4 seconds", "Slow down in rain."] * 3
    layout = Layout()
    first, second = (train_tokenizer(texts, layout, 640) for _ in range(2))
    assert first.to_str() == second.to_str()
    for text in time_texts(layout) + number_texts():
        assert len(first.encode(text).ids) == 1
    unseen = "déjà vu: a crash!"
    assert first.decode(first.encode(unseen).ids) == unseen


def test_a_vocabulary_too_small_for_the_times_is_refused() -> None:
    with pytest.raises(ValueError, match="not one token"):
        train_tokenizer(["a"], Layout(), 270)


def test_a_crash_clip_is_refused(clip: NativeClip, tmp_path: Path) -> None:
    crash = clip.data() | {"label": "crash", "times": {"crash_start_s": 1.0}}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(crash) + "\n")
    with pytest.raises(UserError, match=r"manifest.jsonl:1: a crash clip"):
        corpus.prepare(tmp_path, tmp_path / "work", Layout(), 1, SilentReporter())


def test_footage_without_ground_truth_is_refused(clip: NativeClip) -> None:
    with pytest.raises(ValueError, match="no ground truth"):
        drive_of(clip.model_copy(update={"ground_truth": None}))


def test_white_tokens_cost_nothing_and_correlated_ones_do() -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    white = torch.randn(4000, 6, 8, generator=generator)
    doubled = white.clone()
    doubled[..., 1] = doubled[..., 0]
    assert vision.decorrelation_loss(white) < 0.02
    assert vision.decorrelation_loss(doubled) > 0.2


def test_whitening_folds_into_the_projector() -> None:
    import torch

    from hazardline.vlm.whitening import Whitening

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4000, 8, generator=generator) @ torch.randn(8, 8, generator=generator) + 2
    whitening = Whitening.fit(features, floor=1e-6)
    white = whitening(features)
    assert torch.allclose(torch.cov(white.T), torch.eye(8), atol=1e-2)
    weight, bias = torch.randn(5, 8, generator=generator), torch.randn(5, generator=generator)
    raw_weight, raw_bias = whitening.folded(weight, bias)
    assert torch.allclose(white @ weight.T + bias, features @ raw_weight.T + raw_bias, atol=1e-3)
