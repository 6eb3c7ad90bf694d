"""The benchmark of decoding: which frames are wanted, and that a peer's wrong frame is noticed."""

from pathlib import Path

import pytest

from benchmarks.decoding.cases import AS_IT_IS, REPEATED, looped, make_case
from benchmarks.decoding.measure import CAMERAS, neighbours, summary
from benchmarks.decoding.ways import picked_by_pyav, sought
from hazardline import video
from tests.video_files import moving_pictures, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "a.mp4", moving_pictures(0, 60), fps=20, gop_size=12, max_b_frames=0)


def test_frames_are_chosen_evenly_from_first_to_last(clip: Path) -> None:
    case = make_case(clip, "as it is", 30.0, 4)
    assert case.numbers == [0, 20, 39, 59] and case.times_s == pytest.approx([0.0, 1.0, 1.95, 2.95])
    assert (case.num_frames, case.num_keys) == (60, 5)
    assert case.num_chain == 1 + 9 + 4 + 12
    assert make_case(clip, "the first second", 1.0, 2).numbers == [0, 19]


def test_crashchats_rule_chooses_from_a_grid_of_10_hz(clip: Path) -> None:
    case = make_case(clip, "grid", 30.0, 4, rate_hz=10.0)
    assert case.times_s == pytest.approx([0.0, 1.0, 1.9, 2.9]) and case.numbers == [0, 20, 38, 58]


def test_a_wrong_frame_is_noticed(clip: Path) -> None:
    case = make_case(clip, "as it is", 30.0, 5)
    judge = neighbours(case)
    ours, theirs = sought(None)(case), picked_by_pyav(case)
    assert ours is not None and (ours == theirs).all()
    assert judge(ours) == {"wrong_frames": [], "mean_difference": 0.0}
    late = make_case(clip, "late", 30.0, 5)
    late.numbers[2] += 1
    assert judge(picked_by_pyav(late))["wrong_frames"] == [case.numbers[2]]


def test_a_repeated_clip_keeps_its_packets(clip: Path, tmp_path: Path) -> None:
    long = looped(clip, tmp_path, 8.0)
    assert video.check_packets(long).num_frames == 180
    assert make_case(long, "long", 30.0, 2).num_keys == 15
    found = video.at(long, [0.5, 3.5, 6.5], 144, 96)
    assert (found == found[0]).all()


def test_means_are_by_variant_and_leave_out_what_a_peer_could_not_read() -> None:
    def row(variant: str, window_s: float, whole: float, decord: float | None) -> dict[str, object]:
        return {"variant": variant, "window_s": window_s, "times_faster_than": {"whole": whole, "decord": decord}}

    rows = [row(AS_IT_IS, 30.0, 2.0, None), row(AS_IT_IS, 9.0, 1.0, 1.0), row(REPEATED, 30.0, 8.0, 4.0)]
    found = summary(rows)
    assert found[CAMERAS] == {"whole": 4.0, "decord": None}
    assert found[AS_IT_IS] == {"whole": 1.41, "decord": None} and found[REPEATED] == {"whole": 8.0, "decord": 4.0}
