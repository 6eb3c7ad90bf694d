"""The feature cache: what is in it, when it is used again, and what it refuses."""

import json
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
from hazardline.train.encoder import Encoder
from hazardline.train.features import (
    INDEX_NAME,
    PLAIN,
    ClipSource,
    FeatureReader,
    Variant,
    all_variants,
    keep_plain,
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
        name = clip.files[PLAIN.name]
        assert (tmp_path / name).read_bytes() == (features / name).read_bytes()


def test_only_plain_features_are_kept(layout: Layout, source: ClipSource, base: Path, tmp_path: Path) -> None:
    variants = all_variants(layout, True, False)
    encode_clips(
        base, [ClipSource(source.clip_id, source.video, source.sha256, variants)], tmp_path, 1, SilentReporter()
    )
    assert len(list(tmp_path.glob("*.npy"))) == 2
    keep_plain(tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    reader = FeatureReader(tmp_path, layout)
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
    with pytest.raises(UserError, match=r"holds float16 \(3, 6, 32\), expected float16 \(20, 6, 32\)"):
        reader.features(source.clip_id)
    with pytest.raises(UserError, match="has no clip nowhere"):
        reader.features("nowhere")
    with pytest.raises(UserError, match="made with another layout"):
        FeatureReader(tmp_path, layout.model_copy(update={"max_frames": 7}))
