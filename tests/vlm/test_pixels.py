"""Patches lie in the order of transformers' own VideoLLaMA3 processor, and motion channels mean what they say."""

from pathlib import Path

import numpy as np
import pytest
from transformers.models.video_llama_3.image_processing_pil_video_llama_3 import VideoLlama3ImageProcessorPil

from hazardline import video
from hazardline.vlm.layout import Layout
from hazardline.vlm.pixels import frames_to_patches, read_frames, read_patches, read_seen
from tests.video_files import moving_pictures, write_clip


def random_frames(layout: Layout, count: int) -> np.ndarray:
    shape = (count, layout.height_px, layout.width_px, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("merge", [1, 2, 4])
def test_patches_are_those_of_the_native_processor(merge: int) -> None:
    layout = Layout(width_px=96, height_px=48, patch_px=12, merge=merge, channels="rgb")
    frames = random_frames(layout, 3)
    processor = VideoLlama3ImageProcessorPil(
        do_resize=False, patch_size=12, merge_size=merge, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    expected = processor(images=list(frames), return_tensors="np")
    found = frames_to_patches(frames, layout, [0, 1, 2])
    assert found.dtype == np.float32 and found.shape == (3, 32, layout.patch_size)
    np.testing.assert_allclose(found.reshape(-1, layout.patch_size), expected["pixel_values"], atol=1e-6)
    assert expected["image_grid_thw"].tolist() == [[1, *layout.grid]] * 3


def test_motion_channels_are_brightness_differences() -> None:
    layout = Layout(width_px=48, height_px=48)
    frames = np.zeros((6, 48, 48, 3), np.uint8)
    frames[3:] = 51  # brighter by 0.4 in [-1, 1] from frame 3 on
    patches = frames_to_patches(frames, layout, [0, 3, 5]).reshape(3, 16, 5, 144)
    np.testing.assert_allclose(patches[:, :, 3].mean(axis=(1, 2)), [0.0, 1.2, 0.0], atol=1e-5)
    np.testing.assert_allclose(patches[:, :, 4].mean(axis=(1, 2)), [0.0, 1.2, 1.2], atol=1e-5)
    np.testing.assert_allclose(patches[:, :, 0].mean(axis=(1, 2)), [-1.0, -0.6, -0.6], atol=1e-5)


def test_mirrored_frames_give_mirrored_patches() -> None:
    layout = Layout(width_px=96, height_px=48, merge=2)
    frames = random_frames(layout, 4)
    rows, columns = layout.grid
    shape = (1, rows // 2, columns // 2, 2, 2, 5, 12, 12)
    plain, mirrored = (frames_to_patches(one, layout, [3]).reshape(shape) for one in (frames, frames[:, :, ::-1]))
    np.testing.assert_allclose(mirrored, plain[:, :, ::-1, :, ::-1, :, :, ::-1], atol=1e-6)


LONG_CLIP_LAYOUTS = {
    "published": Layout(channels="rgb", rate_hz=10.0, max_frames=9),
    "motion": Layout(max_frames=5),
    "phases": Layout(max_frames=4, rate_hz=2.5),
}


@pytest.mark.parametrize("name", LONG_CLIP_LAYOUTS)
def test_seeking_and_decoding_everything_give_the_same_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    layout = LONG_CLIP_LAYOUTS[name]
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 80), max_b_frames=2)
    whole = read_frames(path, layout)
    indices = layout.sample(len(whole))
    expected = frames_to_patches(whole, layout, indices)
    monkeypatch.setattr(video, "decode", lambda *given: pytest.fail("everything was decoded"))
    found, times_s = read_patches(path, layout)
    assert found.tobytes() == expected.tobytes() and times_s == layout.times_s(indices)
    phases = range(round(layout.motion_rate_hz / layout.rate_hz))
    seen = read_seen(path, layout, phases)
    assert seen.num_frames == len(whole) > 2 * len(seen.numbers)
    for phase in phases:
        indices = layout.sample(seen.num_frames, phase)
        ours = frames_to_patches(seen.pixels[:, :, ::-1], layout, indices, seen.numbers)
        assert ours.tobytes() == frames_to_patches(whole[:, :, ::-1], layout, indices).tobytes()


def test_short_clips_are_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_pictures(0, 30))
    monkeypatch.setattr(video, "at", lambda *given: pytest.fail("frames were sought"))
    seen = read_seen(path, Layout())
    assert seen.numbers == list(range(30)) and np.array_equal(seen.pixels, read_frames(path, Layout()))
