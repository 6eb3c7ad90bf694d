import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from hazardline.hazardnet import CLASSIFICATION, HAZARDNET_PROMPTS, TOPICS, TOPICS_PER_IMAGE
from hazardline.synthesize.config import ValidationRules
from hazardline.synthesize.endpoint.client import Reply
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.synthesize.endpoint.frames import frame_indices, frame_jpegs
from hazardline.synthesize.endpoint.ledger import BudgetSpent, Ledger, cost_nano_usd
from hazardline.synthesize.endpoint.pacing import TokenBucket
from hazardline.synthesize.endpoint.pairs import pairs_of
from hazardline.synthesize.endpoint.prompts import question_about, topics_of
from hazardline.synthesize.endpoint.replies import judge
from hazardline.synthesize.pair import Clip
from hazardline.synthesize.validate import validate
from tests.synthesize.endpoint_world import SETTINGS
from tests.synthesize.images import image, thing, truth
from tests.synthesize.scenes import scene
from tests.video_files import numbered_pictures, write_clip

CONFIG = EndpointConfig.parse(SETTINGS, "test")
PROMPTS = HAZARDNET_PROMPTS["hazardnet@1"]


@pytest.mark.parametrize(
    ("changes", "num_frames", "expected"),
    [
        ({}, 5, [10, 20, 32, 49, 64]),
        ({}, 3, [20, 32, 49]),
        ({}, 1, [32]),
        ({}, 7, [10, 20, 32, 40, 49, 64, 72]),
        ({"pre_crash_start_s": None, "crash_end_s": None}, 3, [16, 32, 56]),
        ({"pre_crash_start_s": None, "crash_start_s": None, "crash_end_s": None, "event_s": 3.0}, 1, [30]),
        (
            {"label": "normal", "pre_crash_start_s": None, "crash_start_s": None, "crash_end_s": None},
            4,
            [10, 30, 50, 70],
        ),
        ({"duration_s": 0.3, "crash_end_s": 0.25, "crash_start_s": 0.1, "pre_crash_start_s": 0.0}, 9, [0, 1, 2]),
        ({"video_uri": "/images/a.png", "duration_s": 0.0}, 5, [0]),
    ],
)
def test_frames_lie_around_the_event(changes, num_frames, expected):
    assert frame_indices(scene("c", **changes), num_frames) == expected


def test_the_frames_are_those_of_their_times_and_no_wider_than_allowed(tmp_path):
    video = write_clip(tmp_path / "clip.mp4", numbered_pictures(30))
    row = scene("c", video_uri=str(video), duration_s=3.0, width_px=64, height_px=48)
    jpegs = frame_jpegs(row, [0, 10, 25], CONFIG.model_copy(update={"image_width_px": 32}))
    pictures = [Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]
    assert [picture.size for picture in pictures] == [(32, 24)] * 3
    levels = [float(np.asarray(picture).mean()) for picture in pictures]
    assert levels == pytest.approx([20, 60, 120], abs=3)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_bucket_lets_through_its_rate():
    clock = Clock()
    bucket = TokenBucket(60, clock, clock.sleep)
    times = []
    for _ in range(12):
        bucket.take(1)
        times.append(clock.now)
    assert times == pytest.approx([0.0] * 6 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    bucket.give_back(3)
    assert [bucket.take(1) for _ in range(3)] == [0.0] * 3 and bucket.take(1) == pytest.approx(1.0)
    assert bucket.take(120) == pytest.approx(120.0)  # more than a minute's worth is a long wait
    clock.now += 1e6
    assert bucket.take(60) == 0.0 and bucket.take(1) == pytest.approx(1.0)  # never more than a minute's worth


def test_prices_are_rounded_up():
    assert cost_nano_usd(CONFIG, 1000, 100) == 3_500_000
    assert cost_nano_usd(CONFIG.model_copy(update={"usd_per_million_input": 0.0001}), 1, 0) == 1


def test_a_request_waits_for_others_that_may_turn_out_cheaper(tmp_path):
    ledger = Ledger(tmp_path, "scope", 1e-7)  # 100 nano-dollars
    first = ledger.book(80)
    booked = []
    waiting = threading.Thread(target=lambda: booked.append(ledger.book(80)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive() and booked == []
    ledger.settle(first, 10)
    waiting.join(10)
    assert ledger.account().total == 90
    ledger.settle(booked[0], 30)
    with pytest.raises(BudgetSpent):
        ledger.book(61)
    ledger.settle(ledger.book(60), 60)
    assert ledger.account().spent_nano_usd == 100


def test_what_a_killed_process_had_in_flight_stays_booked(tmp_path):
    Ledger(tmp_path, "scope", 1e-7).book(80)
    after = Ledger(tmp_path, "scope", 1e-7)
    with pytest.raises(BudgetSpent):
        after.book(21)
    assert after.book(20)


def test_accounts_do_not_mix(tmp_path):
    Ledger(tmp_path, "one", 1e-7).book(100)
    assert Ledger(tmp_path, "other", 1e-7).book(100)


def told(clip_id):
    topic = {"question": "What stands out here?", "reasoning": "The road ahead is free.", "answer": "nothing much"}
    words = "zero one two three four five six".split()
    return {
        task: topic | {"question": f"What {word} {word} stands out {word} here?"}
        for task, word in zip(topics_of(clip_id), words, strict=False)
    }


def test_an_image_is_asked_five_topics_and_what_its_annotation_leaves_open():
    open_image = question_about(image("i", None), "hazardnet")
    assert list(open_image.reply.model_fields) == [*topics_of("i"), CLASSIFICATION]
    known = question_about(image("i", truth()), "hazardnet")
    assert list(known.reply.model_fields) == topics_of("i")
    assert len(topics_of("i")) == TOPICS_PER_IMAGE
    drawn = {task for number in range(30) for task in topics_of(f"i{number}")}
    assert drawn == set(TOPICS)


def test_an_image_with_exact_truth_keeps_its_sign_and_classification():
    row = image("i", truth(thing(ahead_m=8.0)))
    found = pairs_of(Clip(row, "train"), told("i"), PROMPTS)
    assert [pair.is_positive for pair in found.pairs] == [True] * 6
    assert '"IsThereRisk": "Yes"' in found.pairs[-1].answer
    assert validate(found.pairs, row, PROMPTS, ValidationRules()).rejected == []


def test_an_image_without_is_classified_by_the_reply():
    values = {
        "SceneClassification": "Intersection",
        "AgentClassification": "Cyclist",
        "SuggestedAction": "Yield",
        "IsThereRisk": "Yes",
    }
    row = image("i", None)
    found = pairs_of(Clip(row, "train"), {**told("i"), CLASSIFICATION: values}, PROMPTS)
    assert json.loads(found.pairs[-1].answer) == values and all(pair.is_positive for pair in found.pairs)
    assert validate(found.pairs, row, PROMPTS, ValidationRules()).rejected == []


def test_a_clip_without_a_crash_is_not_asked_about():
    assert question_about(scene("n", "near_miss"), "crashchat") is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"description": "a b", "cause": "c d", "prevention": "e f"}', "answered"),
        ('```json\n{"description": "a b", "cause": "c d", "prevention": "e f"}\n```', "answered"),
        ('<think>{no}</think> {"description": "a b", "cause": "c d", "prevention": "e f"}', "answered"),
        ('{"description": "a b", "cause": " ", "prevention": "e f"}', "wrong_schema"),
        ('{"description": "a b", "cause": 3, "prevention": "e f"}', "wrong_schema"),
        ('{"description": "a b", "cause": "c d", "prevention": "e f", "more": 1}', "wrong_schema"),
        ("[1, 2]", "wrong_schema"),
        ("  ", "empty"),
        (None, "empty"),
    ],
)
def test_what_an_answer_is_worth(content, expected):
    form = question_about(scene("c"), "crashchat").reply
    outcome, detail = judge(Reply(content, None, "stop", 1, 1, "m", "f"), form)
    assert outcome == expected and bool(detail) == (expected != "answered")


def test_the_facts_of_the_annotation_are_told():
    row = scene("c", agents=["truck"], ego_involved=False, weather="unknown", accident_type="car hits truck")
    said = question_about(row, "crashchat").before
    assert "road users: truck" in said and "only a witness" in said and "type of accident: car hits truck" in said
    assert "weather" not in said and "the accident is over at 4.9 s" in said
