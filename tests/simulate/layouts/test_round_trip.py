"""What is written in a published form and read by its adapter is what the simulator knows."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from hazardline.errors import UserError
from hazardline.files import sha256_tree
from hazardline.ingest.adapter import Candidate
from hazardline.ingest.config import SourceConfig, SourceName
from hazardline.native import NativeClip
from hazardline.simulate.layouts import ccd
from hazardline.simulate.layouts.registry import WRITERS
from hazardline.video_file import probe
from tests.ingest.datasets import candidates
from tests.simulate.layouts.conftest import Layout
from tests.video_files import moving_pictures, write_clip


def _read(root: Path, source: SourceName) -> list[Candidate]:
    items = list(candidates(root, SourceConfig(source=source)))
    found = [item for item in items if isinstance(item, Candidate)]
    assert found and len(found) == len(items)
    return found


def _close(found: float | None, expected: float | None, fps: float) -> bool:
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= 1 / fps


def _same_accident(found: Candidate, clip: NativeClip) -> None:
    """Everything that DADA's sheets can say."""
    assert found.fps is not None
    assert (found.label, found.weather, found.light, found.scene) == (clip.label, clip.weather, clip.light, clip.scene)
    assert (found.description, found.cause, found.prevention) == (clip.description, clip.cause, clip.prevention)
    for name in ("pre_crash_start_s", "crash_start_s", "crash_end_s", "event_s"):
        assert _close(getattr(found.times, name), getattr(clip.times, name), found.fps), (name, clip.clip_id)


def _same_length(root: Path, found: Candidate, clip: NativeClip, suffix: str) -> None:
    frames = sorted((root / found.video).glob(f"*{suffix}"))
    assert clip.ground_truth is not None and found.fps is not None
    length_s = clip.ground_truth.num_frames / clip.ground_truth.fps
    assert abs(len(frames) / found.fps - length_s) <= 1 / found.fps
    assert len(list((root / found.video).iterdir())) == len(frames)


def _labelled(clips: Sequence[NativeClip], *labels: str) -> list[NativeClip]:
    return [clip for clip in clips if clip.label in labels]


def test_the_clips_hold_every_label(native_clips: list[NativeClip]) -> None:
    assert {clip.label for clip in native_clips} == {"crash", "near_miss", "normal"}
    assert len({clip.weather for clip in native_clips}) > 1 and len({clip.light for clip in native_clips}) == 2


def test_mm_au(layout: Layout, native_clips: list[NativeClip]) -> None:
    root = layout("mm_au")
    found = _read(root, "mm_au")
    expected = [clip for n, clip in enumerate(native_clips) if n // 2 % 2 == 0]
    num_cap = len(expected)
    expected += [clip for n, clip in enumerate(native_clips) if n // 2 % 2 == 1]
    assert len(found) == len(expected)
    for item, clip in zip(found, expected, strict=True):
        _same_accident(item, clip)
        _same_length(root, item, clip, ".jpg" if item.source == "MM-AU-CAP" else ".png")
    assert [item.source for item in found] == ["MM-AU-CAP"] * num_cap + ["MM-AU-DADA"] * (len(found) - num_cap)
    assert {item.fps for item in found[:num_cap]} == {10.0, 30.0}
    assert {item.fps for item in found[num_cap:]} == {30.0}
    for source in ("MM-AU-CAP", "MM-AU-DADA"):  # the part of the data set must not give the label away
        assert {"crash", "near_miss"} <= {item.label for item in found if item.source == source}


def test_dada2000(layout: Layout, native_clips: list[NativeClip]) -> None:
    root = layout("dada2000")
    found = _read(root, "dada2000")
    for item, clip in zip(found, native_clips, strict=True):
        _same_accident(item, clip)
        _same_length(root, item, clip, ".png")
    sheet = openpyxl.load_workbook(root / "full_sequence_annotations.xlsx")["Sheet1"]
    assert [sheet.cell(2, column).value for column in (12, 13, 16)] == ["=H2", "=I2-H2", "=K2-J2"]


def test_ccd(layout: Layout, native_clips: list[NativeClip]) -> None:
    root = layout("ccd")
    found = _read(root, "ccd")
    expected = [*_labelled(native_clips, "crash"), *_labelled(native_clips, "near_miss", "normal")]
    for item, clip in zip(found, expected, strict=True):
        info = probe(root / item.video)
        assert (info.fps, info.num_frames) == (10.0, 50)
        assert item.label == ("crash" if clip.label == "crash" else "normal")
        if clip.label == "crash":
            assert clip.ground_truth is not None and clip.times.crash_start_s is not None
            first_s = ccd.window_start(clip, clip.ground_truth.num_frames) / 10
            assert _close(item.times.crash_start_s, clip.times.crash_start_s - first_s, 10)
            assert (item.light, item.ego_involved) == (clip.light, clip.ego_involved)
            assert item.weather == (clip.weather if clip.weather in ("rainy", "snowy") else "unknown")
            assert item.recording_id is not None and item.recording_id.startswith("youtube:")


def test_dota(layout: Layout, native_clips: list[NativeClip]) -> None:
    root = layout("dota")
    found = {item.recording_id: item for item in _read(root, "dota")}
    crashes = _labelled(native_clips, "crash")
    assert len(found) == len(crashes)
    assert {item.published_split for item in found.values()} == {"train", "validation"}
    by_length = sorted(found.values(), key=lambda item: (item.times.crash_start_s, item.times.crash_end_s))
    expected = sorted(crashes, key=lambda clip: (clip.times.crash_start_s, clip.times.crash_end_s))
    kinds = {"suv": "car", "van": "car"}
    for item, clip in zip(by_length, expected, strict=True):
        assert (item.label, item.fps, item.ego_involved, item.light) == ("crash", 10.0, clip.ego_involved, clip.light)
        assert _close(item.times.crash_start_s, clip.times.crash_start_s, 10)
        assert _close(item.times.crash_end_s, clip.times.crash_end_s, 10)
        _same_length(root, item, clip, ".jpg")
        assert clip.ground_truth is not None
        seen = {kinds.get(agent.kind, agent.kind) for agent in clip.ground_truth.agents if agent.frames}
        assert set(item.agents) == seen


def test_dota_in_its_own_words(layout: Layout) -> None:
    root = layout("dota")
    for name in ("train", "val"):
        for clip, entry in json.loads((root / f"metadata_{name}.json").read_text()).items():
            assert set(entry) == {
                *("video_start", "video_end", "anomaly_start", "anomaly_end"),
                *("anomaly_class", "num_frames", "subset"),
            }
            assert clip.rsplit("_", 1)[1] == f"{entry['video_start']:06}"
            assert entry["num_frames"] == entry["video_end"] - entry["video_start"] + 1
            assert (root / f"frames/{clip}/images/000000.jpg").is_file()
            assert (root / f"annotations/{clip}.json").is_file()


def test_badas(layout: Layout, native_clips: list[NativeClip], native: Path) -> None:
    root = layout("badas")
    found = _read(root, "badas")
    expected = _labelled(native_clips, "crash", "near_miss")
    for item, clip in zip(found, expected, strict=True):
        assert (item.label, item.ego_involved) == (clip.label, clip.ego_involved)
        times = clip.times.model_copy(update={"crash_end_s": None})
        assert item.times == times
        assert (root / item.video).read_bytes() == (native / clip.video).read_bytes()
    pairs = {clip.pair_id for clip in expected}
    assert len({item.recording_id for item in found}) == len(pairs)


@pytest.mark.parametrize("source", ["mm_au", "dada2000", "ccd", "dota", "badas"])
def test_the_same_clips_give_the_same_bytes(layout: Layout, native: Path, source: str, tmp_path: Path) -> None:
    first = layout(source)
    WRITERS[source](native, tmp_path)
    assert sha256_tree(tmp_path) == sha256_tree(first)


def _one_clip(root: Path, native: Path, row: dict[str, Any]) -> Path:
    """A native folder with one line, and a copy of its video if that is one of `native`."""
    (root / "videos").mkdir(parents=True)
    if (native / row["video"]).is_file():
        shutil.copyfile(native / row["video"], root / row["video"])
    (root / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    return root


def test_clips_that_a_layout_cannot_hold(tmp_path: Path, native: Path, native_clips: list[NativeClip]) -> None:
    crash, normal = (_labelled(native_clips, label)[0].data() for label in ("crash", "normal"))
    open_end = {**crash, "times": {**crash["times"], "crash_end_s": None}}
    for number, (row, source, message) in enumerate(
        (
            (open_end, "mm_au", "this layout needs pre_crash_start_s, crash_start_s and crash_end_s"),
            (open_end, "dota", "the layout needs crash_start_s and crash_end_s"),
            (normal, "dota", "no crash among the clips"),
            ({**normal, "video": "videos/../../x.mp4"}, "ccd", "leads out of the folder"),
        )
    ):
        out = tmp_path / f"out {number}"
        out.mkdir()
        with pytest.raises(UserError, match=message):
            WRITERS[source](_one_clip(tmp_path / f"native {number}", native, row), out)


def test_ccd_takes_five_seconds(tmp_path: Path) -> None:
    root = tmp_path / "native"
    write_clip(root / "short.mp4", moving_pictures(0, 49))
    (root / "manifest.jsonl").write_text('{"clip_id": "a", "video": "short.mp4", "label": "normal"}\n')
    with pytest.raises(UserError, match=r"short\.mp4: 4\.9 s; CCD's clips last 5 s"):
        WRITERS["ccd"](root, tmp_path)
