"""The device stage: provision, update, answer, report. The bundle runs in the tiny runtime, as a real process."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from hazardline.device import stage
from hazardline.device.config import DeviceConfig
from hazardline.device.stage import run
from hazardline.errors import UserError
from hazardline.files import write_json
from hazardline.progress import SilentReporter
from hazardline.release.config import ReleaseConfig
from hazardline.release.stage import run as run_release
from hazardline.tables import QA, SCENES, write_table
from tests.release.world import TINY_PROBE, noise, write_bundle

CLIPS = {"c1": ("crash", "test"), "c2": ("crash", "test"), "n1": ("normal", "test"), "n2": ("near_miss", "train")}


def scene(clip_id: str, label: str, video: Path) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(SCENES.schema.names)
    texts = ("sha256", "source", "scenario", "weather", "light", "scene", "codec")
    row.update({name: "unknown" for name in texts}, clip_id=clip_id, label=label, video_uri=str(video))
    row.update(size_bytes=1, num_frames=60, width_px=320, height_px=240, duration_s=6.0, fps=10.0)
    return {**row, "agents": []}


def question(clip_id: str, label: str, split: str) -> dict[str, object]:
    row = {"qa_id": f"{clip_id}/crash_recognition", "clip_id": clip_id, "split": split, "task": "crash_recognition"}
    answer = "Yes" if label == "crash" else "No"
    texts = {"question": "Crash?", "answer": answer, "annotator": "x", "prompt_version": "crashchat-short@1"}
    return {**row, **texts, "is_positive": label == "crash"}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Path]:
    monkeypatch.setattr(stage, "PROBE_COMMAND", TINY_PROBE)
    folders = {name: tmp_path / name for name in ("export", "register", "ingest", "synthesize", "release")}
    for folder in folders.values():
        folder.mkdir()
    for clip_id in CLIPS:
        (tmp_path / f"{clip_id}.mp4").write_bytes(noise(clip_id, 2000))
    rows = [scene(clip_id, label, tmp_path / f"{clip_id}.mp4") for clip_id, (label, _) in CLIPS.items()]
    write_table(SCENES, folders["ingest"], rows)
    write_table(QA, folders["synthesize"], [question(clip_id, *kind) for clip_id, kind in CLIPS.items()])
    write_json(folders["register"] / "registration.json", {"promoted": True, "version": 1})
    write_json(folders["export"] / "parity.json", {})
    write_bundle(folders["export"] / "bundle")
    return folders


@pytest.fixture
def config(tmp_path: Path) -> DeviceConfig:
    return DeviceConfig(state=str(tmp_path / "device"), num_answered_clips=3)


def release(inputs: Mapping[str, Path], name: str = "") -> None:
    root = inputs["release"].parent
    config = ReleaseConfig(destination=str(root / f"repository{name}"), keys=str(root / f"keys{name}"))
    run_release(config, inputs, inputs["release"], SilentReporter())


def test_provision_update_answer(inputs: Mapping[str, Path], config: DeviceConfig, tmp_path: Path) -> None:
    release(inputs)
    out = tmp_path / "out"
    summary = run(config, inputs, out, SilentReporter())
    assert summary == json.loads((out / "device.json").read_text())
    assert (summary["slot"], summary["version"], summary["outcome"]["status"]) == ("a", 1, "installed")
    assert list(summary["answers"]) == list(summary["latency_s"]) == ["c1", "n1", "c2"]
    assert all(answer["crash_recognition"] in ("Yes", "No") for answer in summary["answers"].values())
    assert summary["peak_memory_mb"] == 10.0

    again = run(config, inputs, tmp_path / "again", SilentReporter())
    assert again["outcome"]["status"] == "unchanged" and again["answers"] == summary["answers"]

    write_bundle(inputs["export"] / "bundle", "2")
    release(inputs)
    newer = run(config, inputs, tmp_path / "newer", SilentReporter())
    assert (newer["slot"], newer["version"], newer["outcome"]["num_downloaded"]) == ("b", 2, 4)


def test_after_a_closed_gate_the_device_keeps_what_it_has(
    inputs: Mapping[str, Path], config: DeviceConfig, tmp_path: Path
) -> None:
    write_json(inputs["register"] / "registration.json", {"promoted": False})
    release(inputs)
    nothing = run(config, inputs, tmp_path / "nothing", SilentReporter())
    assert (nothing["outcome"], nothing["slot"], nothing["answers"]) == (None, None, {})
    assert not (tmp_path / "device").exists()
    write_json(inputs["register"] / "registration.json", {"promoted": True})
    release(inputs)
    run(config, inputs, tmp_path / "first", SilentReporter())
    write_json(inputs["register"] / "registration.json", {"promoted": False})
    write_bundle(inputs["export"] / "bundle", "2")
    release(inputs)
    kept = run(config, inputs, tmp_path / "kept", SilentReporter())
    assert (kept["version"], kept["outcome"]["status"], len(kept["answers"])) == (1, "unchanged", 3)


def test_a_refused_release_fails_the_stage_and_names_what_runs(
    inputs: Mapping[str, Path], config: DeviceConfig, tmp_path: Path
) -> None:
    release(inputs)
    run(config, inputs, tmp_path / "first", SilentReporter())
    write_bundle(inputs["export"] / "bundle", "2", is_right=False)
    release(inputs)
    with pytest.raises(UserError, match=r"was not updated: release 2 is refused: .*; it keeps release 1"):
        run(config, inputs, tmp_path / "second", SilentReporter())


def test_a_repository_made_anew_is_explained(inputs: Mapping[str, Path], config: DeviceConfig, tmp_path: Path) -> None:
    release(inputs)
    run(config, inputs, tmp_path / "first", SilentReporter())
    release(inputs, name="-new")
    with pytest.raises(UserError, match=r"UnsignedMetadataError.*remove .*device so that"):
        run(config, inputs, tmp_path / "second", SilentReporter())


def test_a_split_without_test_clips_is_named(inputs: Mapping[str, Path], config: DeviceConfig, tmp_path: Path) -> None:
    release(inputs)
    write_table(QA, inputs["synthesize"], [question(clip_id, "crash", "train") for clip_id in CLIPS])
    with pytest.raises(UserError, match="has no clip in the test split"):
        run(config, inputs, tmp_path / "out", SilentReporter())
