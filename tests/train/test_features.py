"""The feature cache: what is in it, when it is used again, and what it refuses."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hazardline.errors import UserError
from hazardline.pocket.random_base import write_random_base
from hazardline.progress import SilentReporter
from hazardline.tables import SCENES, read_table
from hazardline.train.encode import encode_clips
from hazardline.train.encoder import Encoder, VisitEncoder
from hazardline.train.features import (
    INDEX_NAME,
    PLAIN,
    ClipSource,
    FeatureIndex,
    FeatureReader,
    Variant,
    all_variants,
    keep_plain,
    write_features,
)
from hazardline.vlm.layout import LAYOUT_NAME, Layout
from hazardline.vlm.model import encode, load_base
from hazardline.vlm.pixels import read_patches
from tests.train.notes import Notes


@pytest.fixture(scope="module")
def layout(base: Path) -> Layout:
    return Layout.read(base / LAYOUT_NAME)


@pytest.fixture(scope="module")
def source(inputs: dict[str, Path]) -> ClipSource:
    row = read_table(SCENES, inputs["ingest"])[0]
    return ClipSource(row["clip_id"], Path(row["video_uri"]), row["sha256"], (PLAIN,))


def test_variants_are_phases_and_mirrors(layout: Layout) -> None:
    def names(phase: bool, mirror: bool) -> list[str]:
        return [variant.name for variant in all_variants(layout, phase, mirror)]

    assert names(phase=True, mirror=True) == ["p0", "p1m"]
    assert names(phase=True, mirror=False) == ["p0", "p1"]
    assert names(phase=False, mirror=True) == ["p0", "p0m"]
    assert all_variants(layout, False, False) == (PLAIN,)


def test_plain_features_are_the_encoder_s_output(
    base: Path, layout: Layout, source: ClipSource, features: Path
) -> None:
    patches, times_s = read_patches(source.video, layout)
    with torch.no_grad():
        expected = encode(load_base(base), torch.from_numpy(patches), layout.grid, layout.merge).numpy()
    reader = FeatureReader(features, layout)
    found = reader.features(source.clip_id)
    assert found.dtype == np.float16 and found.shape == expected.shape
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.02
    assert reader.times_s(source.clip_id) == times_s


def test_variants_differ_and_test_clips_have_one(layout: Layout, source: ClipSource, features: Path) -> None:
    reader = FeatureReader(features, layout)
    arrays = [np.asarray(reader.features(source.clip_id, v), np.float32) for v in all_variants(layout, True, True)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :] if a.shape == b.shape)
    assert reader.index.clips["clip_015"].files.keys() == {"p0"}


def test_a_second_time_nothing_is_encoded(
    base: Path, source: ClipSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode_clips(base, [source], tmp_path, 1, SilentReporter())
    bytes_before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    notes = Notes()
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "encode", lambda *_: pytest.fail("encoded again"))
        assert encode_clips(base, [source], tmp_path, 1, notes) == first
    assert notes.done["features"] == 1
    shutil.rmtree(tmp_path / "again", ignore_errors=True)
    encode_clips(base, [source], tmp_path / "again", 1, SilentReporter())
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == bytes_before


def test_another_encoder_makes_other_files(base: Path, source: ClipSource, tmp_path: Path) -> None:
    write_random_base(tmp_path / "base", seed=1)
    one = encode_clips(base, [source], tmp_path / "one", 1, SilentReporter())
    other = encode_clips(tmp_path / "base", [source], tmp_path / "one", 1, SilentReporter())
    assert one.encoder_digest != other.encoder_digest
    assert one.clips[source.clip_id].files != other.clips[source.clip_id].files


def test_processes_give_the_same_bytes(base: Path, inputs: dict[str, Path], features: Path, tmp_path: Path) -> None:
    rows = read_table(SCENES, inputs["ingest"])[:2]
    sources = [ClipSource(row["clip_id"], Path(row["video_uri"]), row["sha256"], (PLAIN,)) for row in rows]
    index = encode_clips(base, sources, tmp_path, 2, SilentReporter())
    for clip in index.clips.values():
        name = clip.files[PLAIN.name]  # it holds the digest of the content
        assert (features / name).is_file()


def test_only_plain_features_are_kept(layout: Layout, source: ClipSource, base: Path, tmp_path: Path) -> None:
    variants = all_variants(layout, True, False)
    encode_clips(
        base, [ClipSource(source.clip_id, source.video, source.sha256, variants)], tmp_path, 1, SilentReporter()
    )
    assert len(list(tmp_path.glob("*.npy"))) == 2
    out = tmp_path / "out"
    out.mkdir()
    (out / INDEX_NAME).write_bytes((tmp_path / INDEX_NAME).read_bytes())
    keep_plain(out, tmp_path)
    assert len(list(out.glob("*.npy"))) == 1 and len(list(tmp_path.glob("*.npy"))) == 2
    reader = FeatureReader(out, layout)
    assert len(reader.features(source.clip_id)) > 0
    with pytest.raises(UserError, match="no variant p1"):
        reader.features(source.clip_id, Variant(1, False))


def test_a_changed_or_damaged_video_is_refused(base: Path, source: ClipSource, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(source.video.read_bytes()[:-100])
    changed = ClipSource(source.clip_id, video, source.sha256, (PLAIN,))
    with pytest.raises(UserError, match="missing, or changed since ingest"):
        encode_clips(base, [changed], tmp_path / "features", 1, SilentReporter())
    assert not (tmp_path / "features" / INDEX_NAME).exists()


def test_a_damaged_cache_is_told(layout: Layout, source: ClipSource, features: Path, tmp_path: Path) -> None:
    index = json.loads((features / INDEX_NAME).read_text())
    name = index["clips"][source.clip_id]["files"]["p0"]
    (tmp_path / INDEX_NAME).write_text(json.dumps(index))
    reader = FeatureReader(tmp_path, layout)
    with pytest.raises(UserError, match="cannot be read as features"):
        reader.features(source.clip_id)
    np.save(tmp_path / name, np.zeros((3, 6, 32), np.float16))
    with pytest.raises(UserError, match="its digest is not the one in its name"):
        reader.features(source.clip_id)
    other = write_features(tmp_path, name[:32], np.zeros((3, 6, 32), np.float16))
    index["clips"][source.clip_id]["files"]["p0"] = other
    (tmp_path / INDEX_NAME).write_text(json.dumps(index))
    reader = FeatureReader(tmp_path, layout)
    with pytest.raises(UserError, match=r"holds float16 \(3, 6, 32\), expected float16 \(20, 6, 32\)"):
        reader.features(source.clip_id)
    with pytest.raises(UserError, match="has no clip nowhere"):
        reader.features("nowhere")
    with pytest.raises(UserError, match="made with another layout"):
        FeatureReader(tmp_path, layout.model_copy(update={"max_frames": 7}))


def sources(inputs: dict[str, Path], count: int) -> list[ClipSource]:
    rows = read_table(SCENES, inputs["ingest"])[:count]
    return [ClipSource(row["clip_id"], Path(row["video_uri"]), row["sha256"], (PLAIN,)) for row in rows]


def test_a_budget_keeps_what_is_needed_most_and_the_rest_is_encoded_on_visit(
    base: Path, layout: Layout, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    clips, notes = sources(inputs, 4), Notes()
    size = next(features.glob("*.npy")).stat().st_size
    index = encode_clips(base, clips, tmp_path, 1, notes, budget_bytes=round(2.5 * size))
    assert [bool(index.clips[clip.clip_id].files) for clip in clips] == [True, True, False, False]
    assert notes.said == ["2 of 4 feature files have no room in the cache: they are encoded when visited"]
    videos = {clip.clip_id: (clip.video, clip.sha256) for clip in clips}
    reader = FeatureReader(tmp_path, layout, otherwise=VisitEncoder(base, videos))
    whole = FeatureReader(features, layout)
    for clip in clips:
        assert np.array_equal(reader.features(clip.clip_id), whole.features(clip.clip_id))
        assert reader.times_s(clip.clip_id) == whole.times_s(clip.clip_id)
    with pytest.raises(UserError, match="has no variant p0"):
        FeatureReader(tmp_path, layout).features(clips[3].clip_id)


def test_the_cache_outlives_a_run_and_the_oldest_files_go_first(
    base: Path, inputs: dict[str, Path], tmp_path: Path
) -> None:
    clips, cache = sources(inputs, 3), tmp_path / "cache"
    encode_clips(base, clips[:2], tmp_path / "one", 1, SilentReporter(), cache)
    first, second = (encoded_name(tmp_path / "one", clip) for clip in clips[:2])
    os.utime(cache / first, (1, 1))
    size, notes = (cache / second).stat().st_size, Notes()
    encode_clips(base, clips[2:], tmp_path / "two", 1, notes, cache, budget_bytes=round(2.5 * size))
    assert notes.said == ["1 feature files of other runs went to make room"]
    assert {path.name for path in cache.iterdir()} == {second, encoded_name(tmp_path / "two", clips[2])}


def encoded_name(folder: Path, clip: ClipSource) -> str:
    return FeatureIndex.read(folder / INDEX_NAME).clips[clip.clip_id].files[PLAIN.name]


def test_nothing_is_kept_without_a_budget(base: Path, inputs: dict[str, Path], tmp_path: Path) -> None:
    encode_clips(base, sources(inputs, 2), tmp_path, 1, SilentReporter(), budget_bytes=0)
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]


def test_a_flipped_bit_is_seen_and_made_good(
    base: Path, layout: Layout, inputs: dict[str, Path], features: Path, tmp_path: Path
) -> None:
    clip = sources(inputs, 1)[0]
    encode_clips(base, [clip], tmp_path, 1, SilentReporter())
    path = tmp_path / encoded_name(tmp_path, clip)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="its digest is not the one in its name"):
        FeatureReader(tmp_path, layout).features(clip.clip_id)
    said: list[str] = []
    reader = FeatureReader(
        tmp_path, layout, otherwise=VisitEncoder(base, {clip.clip_id: (clip.video, clip.sha256)}), say=said.append
    )
    assert np.array_equal(reader.features(clip.clip_id), FeatureReader(features, layout).features(clip.clip_id))
    reader.features(clip.clip_id)
    assert len(said) == 1 and "run train again; it was removed" in said[0]
    encode_clips(base, [clip], tmp_path, 1, SilentReporter())
    assert np.array_equal(
        FeatureReader(tmp_path, layout).features(clip.clip_id), FeatureReader(features, layout).features(clip.clip_id)
    )
