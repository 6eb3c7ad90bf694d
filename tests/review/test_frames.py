"""Frames and times: Label Studio counts from 1, and nothing moves by converting."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.review.frames import frame_of, time_of

RATES = (10.0, 24.0, 25.0, 29.97, 30000 / 1001, 30.0, 59.94, 60.0, 120.0)


@pytest.mark.parametrize("fps", RATES)
def test_every_frame_comes_back(fps: float) -> None:
    num_frames = 20_000
    assert all(frame_of(time_of(frame, fps), fps, num_frames) == frame for frame in range(1, num_frames + 1))


@given(st.floats(0, 3600), st.sampled_from(RATES))
def test_the_frame_is_the_nearest_one(time_s: float, fps: float) -> None:
    frame = frame_of(time_s, fps, 10**9)
    exact = Fraction(time_s) * Fraction(fps)
    assert abs(exact - (frame - 1)) <= Fraction(1, 2) + Fraction(1, 10**6)


def test_the_first_frame_is_1_and_the_end_of_the_clip_is_its_last_frame() -> None:
    assert frame_of(0.0, 30.0, 240) == 1
    assert time_of(1, 30.0) == 0.0
    assert frame_of(8.0, 30.0, 240) == 240
    assert frame_of(0.05, 10.0, 80) == 2  # half a frame: the later one
