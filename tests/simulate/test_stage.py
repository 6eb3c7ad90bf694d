"""The whole stage: what it writes, that it writes it again, and what it must not give away."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME, NativeClip
from hazardline.progress import SilentReporter
from hazardline.simulate.config import HAZARD_FAMILIES, NORMAL_FAMILIES, SimulateConfig
from hazardline.simulate.contact_sheet import contact_sheet
from hazardline.simulate.families import derive_seed, sample_scenario, sample_surroundings
from hazardline.simulate.outcome import simulate
from hazardline.simulate.scene import SceneName
from hazardline.simulate.stage import run


def test_every_family_is_reached_and_every_pair_is_complete(clips: list[NativeClip], root: Path) -> None:
    assert {clip.scenario for clip in clips} == {*HAZARD_FAMILIES, *NORMAL_FAMILIES}
    for family in HAZARD_FAMILIES:
        pair = [clip for clip in clips if clip.scenario == family]
        assert sorted(clip.label for clip in pair) == ["crash", "near_miss"]
        assert len({clip.pair_id for clip in pair}) == 1
    assert all(clip.pair_id is None for clip in clips if clip.label == "normal")
    assert sorted(p.name for p in (root / "videos").iterdir()) == sorted(f"{clip.clip_id}.mp4" for clip in clips)


def test_another_number_of_workers_and_of_scenes_gives_the_same_bytes(
    config: SimulateConfig, root: Path, clips: list[NativeClip], tmp_path: Path
) -> None:
    fewer = config.model_copy(update={"num_pairs": 4, "num_normal": 1, "num_workers": 1})
    run(fewer, {}, tmp_path, SilentReporter())
    lines = (root / MANIFEST_NAME).read_text().splitlines()
    wanted = [line for line, clip in zip(lines, clips, strict=True) if clip.label != "normal"][:8]
    wanted += [line for line, clip in zip(lines, clips, strict=True) if clip.label == "normal"][:1]
    assert (tmp_path / MANIFEST_NAME).read_text().splitlines() == wanted
    for path in (tmp_path / "videos").iterdir():
        assert path.read_bytes() == (root / "videos" / path.name).read_bytes()


def test_another_seed_gives_other_clips(clips: list[NativeClip], tmp_path: Path) -> None:
    summary = run(SimulateConfig(num_pairs=0, num_normal=1, seed=12), {}, tmp_path, SilentReporter())
    assert summary["labels"] == {"normal": 1}
    assert json.loads((tmp_path / MANIFEST_NAME).read_text())["clip_id"] not in {clip.clip_id for clip in clips}


def test_without_crashes_only_the_twin_is_written(clips: list[NativeClip], tmp_path: Path) -> None:
    config = SimulateConfig(num_pairs=1, num_normal=0, seed=11, write_crashes=False, num_workers=1)
    summary = run(config, {}, tmp_path, SilentReporter())
    assert summary["labels"] == {"near_miss": 1}
    [line] = (tmp_path / MANIFEST_NAME).read_text().splitlines()
    assert json.loads(line)["times"]["crash_start_s"] is None
    assert len(list((tmp_path / "videos").iterdir())) == 1


def test_windows_and_events(clips: list[NativeClip], config: SimulateConfig) -> None:
    low, high = config.event_fraction
    for clip in clips:
        truth = clip.ground_truth
        assert truth is not None
        length_s = truth.num_frames / truth.fps
        assert 6.0 <= length_s <= 10.0
        event_s = clip.times.crash_start_s if clip.label == "crash" else clip.times.event_s
        if clip.label == "normal":
            assert clip.times.model_dump(exclude_none=True) == {}
            continue
        assert event_s is not None and low <= event_s / length_s <= high
        if clip.label == "crash":
            start, end = clip.times.pre_crash_start_s, clip.times.crash_end_s
            assert start is not None and end is not None
            assert 0 <= start <= event_s < end <= length_s
            assert end - event_s <= 2.0 + 1e-6


def test_twins_share_all_that_could_tell_them_apart(clips: list[NativeClip]) -> None:
    for family in HAZARD_FAMILIES:
        crash, near = sorted((clip for clip in clips if clip.scenario == family), key=lambda clip: clip.label)
        assert crash.ground_truth is not None and near.ground_truth is not None
        assert (crash.weather, crash.light, crash.scene) == (near.weather, near.light, near.scene)
        assert crash.ground_truth.num_frames == near.ground_truth.num_frames
        assert crash.times.crash_start_s is not None and near.times.event_s is not None
        assert abs(crash.times.crash_start_s - near.times.event_s) <= 0.11
        named = [{a.name: (a.kind, a.colour) for a in c.ground_truth.agents} for c in (crash, near) if c.ground_truth]
        assert all(named[0][name] == named[1][name] for name in named[0].keys() & named[1].keys())


def test_ids_and_order_do_not_reveal_labels(clips: list[NativeClip]) -> None:
    assert all(len(clip.clip_id) == 14 and int(clip.clip_id, 16) >= 0 for clip in clips)
    assert not any(
        label in clip.clip_id or label in clip.video for clip in clips for label in ("crash", "near", "normal")
    )
    pairs = [clip.label for clip in clips if clip.label != "normal"]
    firsts = pairs[0::2]
    assert 0 < firsts.count("crash") < len(firsts)


def test_truth_is_complete_and_inside_the_picture(clips: list[NativeClip]) -> None:
    for clip in clips:
        truth = clip.ground_truth
        assert truth is not None and truth.agents[0].name == "ego" and truth.agents[0].frames == []
        for agent in truth.agents:
            series = (agent.x_m, agent.y_m, agent.speed_mps, agent.braking)
            assert all(len(values) == truth.num_frames for values in series)
            assert len(agent.frames) == len(agent.boxes) == len(agent.visible_px)
            assert all(px >= 6 for px in agent.visible_px)
            for left, top, right, bottom in agent.boxes:
                assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
        if clip.label != "normal":
            assert truth.risk_agent in truth.involved and truth.risk_box_at_event is not None
            risk = next(agent for agent in truth.agents if agent.name == truth.risk_agent)
            assert max(risk.visible_px) >= 0.01 * truth.width_px * truth.height_px
        assert clip.ego_involved == ("ego" in truth.involved if clip.label != "normal" else None)


def test_labels_agree_with_contacts(clips: list[NativeClip]) -> None:
    for clip in clips:
        truth, texts = clip.ground_truth, (clip.description, clip.cause, clip.prevention, clip.accident_type)
        assert truth is not None
        if clip.label == "crash":
            soft = {"pedestrian", "cyclist"} & {a.kind for a in truth.agents if a.name in truth.involved}
            assert truth.delta_v_mps is not None and truth.delta_v_mps >= (0.5 if soft else 0.8)
            assert truth.impulse_ns is not None and truth.impulse_ns > 0
            assert all(texts)
        else:
            assert truth.delta_v_mps is None and truth.impulse_ns is None
            assert not any(texts)
        if clip.label == "near_miss":
            assert truth.min_ttc_s is not None and truth.min_ttc_s < 0.9


def test_videos_decode_to_the_promised_frames(clips: list[NativeClip], root: Path) -> None:
    for clip in clips[:4]:
        truth = clip.ground_truth
        assert truth is not None
        with av.open(str(root / clip.video)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == truth.num_frames
        assert frames[0].shape == (truth.height_px, truth.width_px, 3)
        assert np.std(frames[len(frames) // 2]) > 5


def test_contact_sheet(root: Path, tmp_path: Path) -> None:
    contact_sheet(root, tmp_path / "a.png", num_clips=3, seed=1)
    contact_sheet(root, tmp_path / "b.png", num_clips=3, seed=1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(UserError, match=r"manifest\.jsonl"):
        contact_sheet(tmp_path, tmp_path / "c.png")
    (tmp_path / MANIFEST_NAME).write_text('{"clip_id": "x", "video": "x.mp4", "label": "normal"}\n')
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    with pytest.raises(UserError, match=r"x\.mp4: cannot be decoded"):
        contact_sheet(tmp_path, tmp_path / "c.png")


def test_scenes_that_cannot_be_sampled_are_reported_with_their_seed(tmp_path: Path) -> None:
    for seed in range(50):
        config = SimulateConfig(num_pairs=1, num_normal=0, max_attempts=1, families=["red_light"], seed=seed)
        scene_seed = SceneName("pair", 0).seed(config)
        around = sample_surroundings(config, "red_light", scene_seed)
        scenario = sample_scenario("red_light", around, config, derive_seed(scene_seed, 0))
        if simulate(scenario, config.fps)[1].verdict != "crash":
            break
    with pytest.raises(UserError, match=rf"1 of 1 scenes could not be made .*{scene_seed}.*max_attempts"):
        run(config, {}, tmp_path, SilentReporter())
    assert not (tmp_path / MANIFEST_NAME).exists()
