"""What a writer lays out, the adapter of that source reads back as the native manifest says it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hazardline.errors import UserError
from hazardline.hazardnet import TOPICS, format_reply, parse_classification
from hazardline.ingest.adapter import Candidate
from hazardline.ingest.config import SourceConfig, SourceName
from hazardline.native import MANIFEST_NAME, NativeClip, StillTruth
from hazardline.progress import SilentReporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.layouts.d2_city import LABELS
from hazardline.simulate.layouts.registry import WRITERS
from hazardline.simulate.stage import run
from hazardline.synthesize.deterministic_images import SCENE_CLASSES, classification
from hazardline.synthesize.hazard_qa import questions_of
from hazardline.synthesize.hazard_rules import assess
from hazardline.synthesize.hazard_templates import Seen
from hazardline.tasks import PROMPTS, TASKS, format_interval, format_point
from tests.ingest.datasets import candidates, in_process
from tests.simulate.conftest import read

VIDEOS = SimulateConfig(num_pairs=5, num_normal=4, min_clip_s=4.0, max_clip_s=5.0, width_px=96, height_px=64, seed=5)
IMAGES = SimulateConfig(media="image", num_pairs=4, num_normal=8, width_px=96, height_px=64, seed=5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("videos")
    run(VIDEOS, {}, out, SilentReporter())
    return out


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("images")
    run(IMAGES, {}, out, SilentReporter())
    return out


def _laid(name: str, clips: Path, out: Path, source: SourceName) -> dict[bytes, Candidate]:
    """What the adapter says, by the bytes of the file; everything it says is a clip."""
    WRITERS[name](clips, out)
    found = list(candidates(out, SourceConfig(source=source)))
    by_bytes = {
        (out / item.video).read_bytes() if item.content is None else item.content: item
        for item in found
        if isinstance(item, Candidate)
    }
    assert len(by_bytes) == len(found)
    return by_bytes


def _pairs(clips: Path, found: dict[bytes, Candidate]) -> Iterator[tuple[NativeClip, Candidate]]:
    """Each native clip with what was read of its copy."""
    native = read(clips)
    assert len(native) == len(found) > 4
    for clip in native:
        yield clip, found[(clips / clip.video).read_bytes()]


def _near(first: float | None, second: float | None, within_s: float) -> bool:
    return first is second or (first is not None and second is not None and abs(first - second) <= within_s)


@pytest.mark.parametrize("name", ["nexar", "nexar_hub"])
def test_nexar(videos: Path, tmp_path: Path, name: str) -> None:
    for clip, item in _pairs(videos, _laid(name, videos, tmp_path, "nexar")):
        assert item.label == ("normal" if clip.label == "normal" else "crash")
        event_s = clip.times.crash_start_s if clip.label == "crash" else clip.times.event_s
        assert _near(item.times.crash_start_s, None if clip.label == "normal" else event_s, 5e-4)
        if clip.label != "normal":
            assert _near(item.times.pre_crash_start_s, clip.times.pre_crash_start_s, 5e-4)
        if name == "nexar_hub":
            assert (item.weather, item.light) == (clip.weather, clip.light)
            assert item.scene == clip.scene


def test_d2_city(videos: Path, tmp_path: Path) -> None:
    found = _laid("d2_city", videos, tmp_path, "d2_city")
    normal = [clip for clip in read(videos) if clip.label == "normal"]
    assert len(found) == len(normal) == VIDEOS.num_normal
    for clip in normal:
        item = found[(videos / clip.video).read_bytes()]
        assert clip.ground_truth is not None
        kinds = {LABELS[agent.kind] for agent in clip.ground_truth.agents if agent.frames}
        back = {"person": "pedestrian", "bicycle": "cyclist"}
        assert item.agents == tuple(sorted(back.get(kind, kind) for kind in kinds))
        assert item.label == "normal" and item.recording_id is not None
    assert len({item.recording_id for item in found.values()}) == len(normal)


def test_d2_city_has_normal_driving_only(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    lines = (videos / MANIFEST_NAME).read_text(encoding="utf-8").splitlines()
    crashes = [line for line in lines if json.loads(line)["label"] != "normal"]
    (tmp_path / "clips" / MANIFEST_NAME).write_text("\n".join(crashes), encoding="utf-8")
    with pytest.raises(UserError, match="no clip is labelled normal"):
        WRITERS["d2_city"](tmp_path / "clips", tmp_path)


def test_crashchat(videos: Path, tmp_path: Path) -> None:
    splits: dict[str | None, set[str | None]] = {}
    for clip, item in _pairs(videos, _laid("crashchat", videos, tmp_path, "crashchat")):
        is_crash = clip.label == "crash"
        assert item.label == ("crash" if is_crash else "normal")
        splits.setdefault(clip.pair_id or clip.clip_id, set()).add(item.published_split)
        answers = {pair.task: pair.answer for pair in item.pairs}
        assert {pair.task: pair.question for pair in item.pairs} == {
            task: PROMPTS["crashchat@1"].questions[task] for task in (TASKS if is_crash else TASKS[:4])
        }
        if not is_crash:
            assert (item.description, item.cause, item.prevention) == (None, None, None)
            continue
        assert (item.description, item.cause, item.prevention) == (clip.description, clip.cause, clip.prevention)
        times = clip.times
        assert times.crash_start_s and times.crash_end_s and times.pre_crash_start_s is not None
        assert answers["crash_localization"] == format_interval(times.crash_start_s, times.crash_end_s)
        assert answers["pre_crash_localization"] == format_point(times.pre_crash_start_s)
        for said, known in zip(item.times.data().values(), times.data().values(), strict=True):
            assert said is None or _near(said, known, 0.0501)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}


def test_crashchat_has_the_released_files(videos: Path, tmp_path: Path) -> None:
    WRITERS["crashchat"](videos, tmp_path)
    names = {path.name for path in tmp_path.glob("*.json")}
    titles = (*TASKS, "linguistic_centric", "perception_centric", "heterogeneous")
    assert names == {
        f"crashchat_dada_video_total_{title}_{split}.json" for title in titles for split in ("train", "val", "test")
    }
    (record, *_) = json.loads((tmp_path / "crashchat_dada_video_total_crash_recognition_train.json").read_text())
    assert list(record) == ["video", "conversations", "source"] and record["video"][0].startswith("videos/cap_")


def _truth(clip: NativeClip) -> StillTruth:
    assert clip.still is not None
    return clip.still


def test_drama(images: Path, tmp_path: Path) -> None:
    classified = 0
    recordings: dict[str | None, set[str | None]] = {}
    for clip, item in _pairs(images, _laid("drama", images, tmp_path, "drama")):
        hazard = assess(_truth(clip))
        assert item.label == ("normal" if hazard is None else "near_miss")
        assert (item.description is None) == (hazard is None)
        recordings.setdefault(clip.pair_id, set()).add(item.recording_id)
        scene = SCENE_CLASSES.get(_truth(clip).road)
        if scene is None or (hazard is not None and hazard.action == "Keep Moving"):
            assert item.classification is None
        else:
            assert item.classification == classification(scene, hazard)
            classified += parse_classification(item.classification) is not None
    assert classified > 4
    assert all(len(found) == 1 for found in recordings.values())
    assert len({recording for found in recordings.values() for recording in found}) == len(recordings)


def test_hazardqa(images: Path, tmp_path: Path) -> None:
    splits: dict[str | None, set[str | None]] = {}
    for clip, item in _pairs(images, _laid("hazardqa", images, tmp_path, "hazardqa")):
        assert item.label == ("normal" if assess(_truth(clip)) is None else "near_miss")
        asked, _ = questions_of(clip.clip_id, Seen.of(_truth(clip), clip.weather, clip.light))
        assert [(pair.task, pair.question, pair.answer) for pair in item.pairs] == [
            (found.task, found.question, format_reply(found.reasoning, found.answer)) for found in asked
        ]
        assert {pair.task for pair in item.pairs} <= set(TOPICS)
        splits.setdefault(clip.pair_id, set()).add(item.published_split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}


@pytest.mark.parametrize("name", ["drama", "hazardqa"])
def test_clips_are_no_images(videos: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"is no simulated image; make some \(simulate.media: image\)"):
        WRITERS[name](videos, tmp_path)


@pytest.mark.parametrize("name", ["nexar", "nexar_hub", "d2_city", "crashchat"])
def test_the_files_decode_and_their_times_fit(videos: Path, tmp_path: Path, name: str) -> None:
    WRITERS[name](videos, tmp_path)
    source: SourceName = "nexar" if name.startswith("nexar") else name  # type: ignore[assignment]
    scenes, problems = in_process(tmp_path, SourceConfig(source=source))
    assert scenes and not problems


@pytest.mark.parametrize("name", ["nexar", "nexar_hub", "d2_city", "crashchat", "drama", "hazardqa"])
def test_the_same_clips_give_the_same_bytes(videos: Path, images: Path, tmp_path: Path, name: str) -> None:
    written = []
    for out in (tmp_path / "a", tmp_path / "b"):
        out.mkdir()
        WRITERS[name](images if name in ("drama", "hazardqa") else videos, out)
        written.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert written[0] == written[1] and len(written[0]) > 3
