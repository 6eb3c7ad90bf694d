import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hazardline.errors import UserError
from hazardline.ingest import lines
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.adapters.native import _candidate
from hazardline.ingest.config import SourceConfig
from tests.ingest.datasets import (
    CRASH_TIMES,
    candidates,
    clip,
    in_process,
    select,
    write_hostile_folder,
    write_manifest,
    write_silent,
)
from tests.video_files import moving_pictures, write_clip

NATIVE = SourceConfig()


def _select(root: Path) -> tuple[list[str], dict[str, str]]:
    found, problems = select(root, NATIVE)
    return [candidate.clip_id for candidate in found], {p.clip_id: p.reason for p in problems}


def test_all_annotations_reach_the_scene(tmp_path: Path) -> None:
    write_clip(tmp_path / "videos/a.mp4", moving_pictures(0, 20))
    annotations = {
        "source": "mine",
        "pair_id": "p1",
        "recording_id": "r1",
        "scenario": "rear_end",
        "weather": "rainy",
        "light": "night",
        "scene": "highway",
        "accident_type": "ego-car hits a car",
        "ego_involved": True,
        "description": "ego-car hits a car.",
        "cause": "Too close.",
        "prevention": "Keep distance.",
    }
    write_manifest(tmp_path, [clip("a", "videos/a.mp4", "crash", times={**CRASH_TIMES, "event_s": 1}, **annotations)])
    (scene,), problems = in_process(tmp_path, NATIVE)
    assert not problems
    assert {key: scene[key] for key in annotations} == annotations
    assert {key: scene[key] for key in CRASH_TIMES} == CRASH_TIMES and scene["event_s"] == 1.0
    assert scene["video_uri"] == str((tmp_path / "videos/a.mp4").resolve())
    assert scene["label"] == "crash" and scene["codec"] == "h264" and scene["num_frames"] == 20
    assert (scene["duration_s"], scene["fps"], scene["width_px"], scene["height_px"]) == (2.0, 10.0, 144, 96)
    assert len(scene["sha256"]) == 64 and scene["size_bytes"] == (tmp_path / "videos/a.mp4").stat().st_size


def test_the_acceptance_folder(tmp_path: Path) -> None:
    scenes, problems = in_process(write_hostile_folder(tmp_path), NATIVE)
    assert [s["clip_id"] for s in scenes] == ["good", "unicode"]
    assert {clip_id: p.reason for clip_id, p in problems.items()} == {
        "zero": "unreadable",
        "cut": "truncated",
        "text": "unreadable",
        "copy": "duplicate_bytes",
        "order": "times_out_of_order",
    }
    assert "'good'" in problems["copy"].detail and "manifest.jsonl line 6" in problems["copy"].detail


@pytest.mark.parametrize(
    ("label", "times", "reason"),
    [
        ("crash", {"crash_start_s": -0.1}, "times_outside_clip"),
        ("crash", {"crash_start_s": 1.0, "crash_end_s": 9.0}, "times_outside_clip"),
        ("crash", {"crash_start_s": 1e300}, "times_outside_clip"),
        ("crash", {"crash_start_s": 1.5, "crash_end_s": 1.0}, "times_out_of_order"),
        ("crash", {"crash_start_s": 1.0, "crash_end_s": 1.0}, "times_out_of_order"),
        ("crash", {"crash_start_s": 1.0, "pre_crash_start_s": 1.1}, "times_out_of_order"),
        ("near_miss", {"event_s": 1.0, "pre_crash_start_s": 1.5}, "times_out_of_order"),
        ("near_miss", {"event_s": 2.2}, "times_outside_clip"),
        ("near_miss", {"crash_start_s": 1.0}, "bad_annotation"),
        ("normal", {"crash_end_s": 1.0}, "bad_annotation"),
        ("crash", {"crash_start_s": 1.0, "pre_crash_start_s": 1.0, "crash_end_s": 2.1}, None),
        ("crash", {"crash_start_s": 0, "crash_end_s": 2}, None),
        ("near_miss", {"event_s": 1.0, "pre_crash_start_s": 0.5}, None),
    ],
)
def test_times(tmp_path: Path, label: str, times: dict[str, float], reason: str | None) -> None:
    write_clip(tmp_path / "a.mp4", moving_pictures(0, 20))
    write_manifest(tmp_path, [clip("a", "a.mp4", label, times=times)])
    _, problems = in_process(tmp_path, NATIVE)
    assert {p.reason for p in problems.values()} == ({reason} if reason else set())


def test_a_file_without_pictures(tmp_path: Path) -> None:
    write_silent(tmp_path)
    write_manifest(tmp_path, [clip("a", "sound.mp4")])
    _, problems = in_process(tmp_path, NATIVE)
    assert problems["a"].reason == "no_video_stream"


def test_paths_must_stay_in_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = write_clip(tmp_path / "outside.mp4", moving_pictures(0, 5))
    write_clip(root / "inside.mp4", moving_pictures(0, 5))
    (root / "link.mp4").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    (root / "fine.mp4").symlink_to(root / "inside.mp4")
    paths = {
        "dots": "../outside.mp4",
        "absolute": str(outside),
        "link": "link.mp4",
        "behind": "folder/outside.mp4",
        "loop": "loop.mp4",
        "null": "a\0b.mp4",
        "long": "x" * 5000,
        "none": "none.mp4",
        "self": ".",
        "empty": "",
        "fine": "fine.mp4",
        "inside": str(root / "inside.mp4"),
    }
    write_manifest(root, [clip(clip_id, path) for clip_id, path in paths.items()])
    found, problems = _select(root)
    assert found == ["fine", "inside"]
    outsiders = ("dots", "absolute", "link", "behind")
    missing = ("loop", "null", "long", "none", "self", "empty")
    assert problems == {**dict.fromkeys(outsiders, "path_outside_root"), **dict.fromkeys(missing, "missing_file")}


def test_ids_are_unique_and_printable(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", moving_pictures(0, 5))
    write_clip(tmp_path / "b.mp4", moving_pictures(1, 5))
    write_manifest(tmp_path, [clip("a", "a.mp4"), clip("a", "b.mp4"), clip("x\ny", "b.mp4"), clip(" z", "b.mp4")])
    found, problems = select(tmp_path, NATIVE)
    assert [candidate.video for candidate in found] == ["a.mp4"]
    assert [p.reason for p in problems] == ["duplicate_id", "bad_annotation", "bad_annotation"]
    assert "manifest.jsonl line 1" in problems[0].detail


def test_an_unusable_clip_does_not_claim_its_bytes(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", moving_pictures(0, 20))
    late = {"crash_start_s": 50}
    write_manifest(tmp_path, [clip("wrong", "a.mp4", "crash", times=late), clip("right", "a.mp4")])
    scenes, problems = in_process(tmp_path, NATIVE)
    assert [s["clip_id"] for s in scenes] == ["right"] and list(problems) == ["wrong"]


BAD_LINES = [
    "not json",
    "[1, 2]",
    "null",
    '{"clip_id": "a"}',
    '{"clip_id": "a", "video": "a.mp4", "label": "maybe"}',
    '{"clip_id": "a", "video": "a.mp4", "label": "crash"}',
    '{"clip_id": "a", "video": "a.mp4", "label": "normal", "colour": 1}',
    '{"clip_id": 7, "video": "a.mp4", "label": "normal"}',
    '{"clip_id": "", "video": "a.mp4", "label": "normal"}',
    '{"clip_id": "a", "video": "a.mp4", "label": "crash", "times": {"crash_start_s": NaN}}',
    '{"clip_id": "a", "video": "a.mp4", "label": "crash", "times": {"crash_start_s": "soon"}}',
    '{"clip_id": "a", "video": "a.mp4", "label": "normal", "cause": "\\ud800"}',
    '{"clip_id": "\\udcff", "video": "a.mp4", "label": "normal"}',
    "[" * 100_000,
    '{"clip_id": ' + '{"a":' * 50_000,
    '{"clip_id": "a", "video": "a.mp4", "label": "normal"',
]


def test_bad_lines_are_named_by_their_number(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", moving_pictures(0, 5))
    write_manifest(tmp_path, ["", *BAD_LINES, clip("good", "a.mp4"), "  "])
    found, problems = select(tmp_path, NATIVE)
    assert [candidate.clip_id for candidate in found] == ["good"]
    assert [p.reason for p in problems] == ["bad_annotation"] * len(BAD_LINES)
    for number, row in enumerate(problems, 2):
        assert row.detail.startswith(f"manifest.jsonl line {number}:") and len(row.detail) <= 400
    assert problems[4].clip_id == "a" and problems[4].video == "a.mp4"
    assert problems[0].clip_id == "manifest.jsonl line 2"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", moving_pictures(0, 5))
    (tmp_path / "manifest.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(clip("a", "a.mp4")).encode() + b"\r\n")
    assert _select(tmp_path) == (["a"], {})


def test_an_endless_line_is_skipped_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    write_clip(tmp_path / "a.mp4", moving_pictures(0, 5))
    write_manifest(tmp_path, ["x" * 10_000, clip("a", "a.mp4"), "y" * 999])
    found, problems = select(tmp_path, NATIVE)
    assert [candidate.clip_id for candidate in found] == ["a"]
    assert [p.clip_id for p in problems] == ["manifest.jsonl line 1", "manifest.jsonl line 3"]


def test_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINES", 3)
    write_manifest(tmp_path, ["{}"] * 4)
    with pytest.raises(UserError, match="more than 3 lines"):
        list(candidates(tmp_path, NATIVE))


def test_missing_and_empty_manifests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.jsonl here"):
        list(candidates(tmp_path, NATIVE))
    for text in ("", "\n \n"):
        (tmp_path / "manifest.jsonl").write_text(text)
        with pytest.raises(UserError, match=r"manifest\.jsonl is empty"):
            list(candidates(tmp_path, NATIVE))


def test_a_folder_as_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(UserError, match=r"no manifest\.jsonl here"):
        list(candidates(tmp_path, NATIVE))


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_any_line_is_a_candidate_or_a_problem(line: bytes) -> None:
    assert isinstance(_candidate("line 1", line), Candidate | Problem)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({"clip_id": _JSON, "video": _JSON, "label": _JSON}, optional={"times": _JSON, "cause": _JSON})
)
def test_any_json_is_a_candidate_or_a_problem(value: dict[str, object]) -> None:
    assert isinstance(_candidate("line 1", json.dumps(value).encode()), Candidate | Problem)


_MEDIA = os.environ.get("HAZARDLINE_TEST_MEDIA")


@pytest.mark.skipif(_MEDIA is None, reason="HAZARDLINE_TEST_MEDIA names no folder of real clips")
def test_real_clips_ingest(tmp_path: Path) -> None:
    assert _MEDIA is not None
    names = sorted(p.name for p in Path(_MEDIA).iterdir() if p.suffix in (".mp4", ".avi"))
    for name in names:
        (tmp_path / name).write_bytes((Path(_MEDIA) / name).read_bytes())
    write_manifest(tmp_path, [clip(name, name) for name in names])
    started_s = time.monotonic()
    scenes, problems = in_process(tmp_path, NATIVE)
    assert len(scenes) == len(names) > 0 and not problems
    assert time.monotonic() - started_s < 60
