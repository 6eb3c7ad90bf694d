"""From a video file to the patches that the vision encoder takes. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hazardline import video
from hazardline.vlm.layout import Layout

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_MOTION_LAGS = (1, 3)  # frames at motion_rate_hz: 0.1 s and 0.3 s at 10 Hz
_MOTION_GAIN = 3.0
_SOUGHT_SHARE = 0.5
"""Up to this share of a clip's frames, the wanted ones are sought; above, decoding finds damage at hardly more cost."""

Frames = npt.NDArray[np.uint8]
Patches = npt.NDArray[np.float32]


def read_frames(path: Path, layout: Layout) -> Frames:
    """Decode a clip at the layout's motion rate and size: uint8 (frames, height, width, 3)."""
    return video.decode(path, layout.motion_rate_hz, layout.width_px, layout.height_px)


@dataclass(frozen=True)
class SeenFrames:
    """Of the frames that a clip has at a layout's motion rate, those that the layout looks at."""

    pixels: Frames
    """uint8 (frames, height, width, 3)."""
    numbers: list[int]
    """Which frames of the clip these are, ascending."""
    num_frames: int
    """Frames of the clip at the motion rate."""


def read_seen(path: Path, layout: Layout, phases: Sequence[int] = (0,)) -> SeenFrames:
    """Decode what `frames_to_patches` will need of a clip: of a long clip only that.

    Args:
        path: The clip.
        layout: Rates, size and channels.
        phases: Of the sampling, as `layout.sample` takes them.

    Raises:
        hazardline.video.VideoError: the file cannot be decoded.
    """
    rate_hz, num_frames = layout.motion_rate_hz, video.probe(path).num_samples(layout.motion_rate_hz)
    numbers = sorted(set().union(*(_looked_at(layout.sample(num_frames, phase), layout) for phase in phases)))
    if len(numbers) > _SOUGHT_SHARE * num_frames:
        return SeenFrames(read_frames(path, layout), list(range(num_frames)), num_frames)
    times_s = [number / rate_hz for number in numbers]
    return SeenFrames(video.at(path, times_s, layout.width_px, layout.height_px), numbers, num_frames)


def _looked_at(indices: list[int], layout: Layout) -> set[int]:
    lags = (0, *_MOTION_LAGS) if layout.channels == "rgb_motion" else (0,)
    return {max(index - lag, 0) for index in indices for lag in lags}


def read_patches(path: Path, layout: Layout) -> tuple[Patches, list[float]]:
    """Decode a clip and cut it.

    Returns:
        Patches, float32 (sampled frames, patches of a frame, patch_size), and the seconds of the sampled frames.

    Raises:
        hazardline.video.VideoError: the file cannot be decoded.
    """
    seen = read_seen(path, layout)
    indices = layout.sample(seen.num_frames)
    return frames_to_patches(seen.pixels, layout, indices, seen.numbers), layout.times_s(indices)


def frames_to_patches(
    frames: Frames, layout: Layout, indices: list[int], numbers: Sequence[int] | None = None
) -> Patches:
    """Patches of chosen frames.

    Args:
        frames: uint8 (T, height, width, 3) at `motion_rate_hz`.
        layout: sizes and channels.
        indices: the frames to cut, as `layout.sample` gives them.
        numbers: which frames of the clip `frames` are, ascending; without it all from the first one on.

    Returns:
        float32 (len(indices), patches, patch size), patches in merge-window order as transformers' image processors of
        VideoLLaMA3 (channel, y, x) and Qwen2-VL (channel, repetition, y, x) emit them; RGB shifted and scaled as the
        layout says, brightness to [-1, 1], differences times 3.
    """
    chosen = np.asarray(indices)
    held = np.arange(len(frames)) if numbers is None else np.asarray(numbers)
    planes = np.empty((len(chosen), *frames.shape[1:3], layout.num_channels), np.float32)
    mean, std = np.array(layout.pixel_mean, np.float32), np.array(layout.pixel_std, np.float32)
    planes[..., :3] = _scaled(frames[_rows(held, chosen)])
    if layout.channels == "rgb_motion":
        brightness = planes[..., :3] @ _LUMA
        for channel, lag in enumerate(_MOTION_LAGS, start=3):
            earlier = _scaled(frames[_rows(held, np.maximum(chosen - lag, 0))]) @ _LUMA
            planes[..., channel] = (brightness - earlier) * np.float32(_MOTION_GAIN)
    if not (mean == 0.5).all() or not (std == 0.5).all():
        planes[..., :3] = (planes[..., :3] * np.float32(0.5) + (np.float32(0.5) - mean)) / std
    rows, columns = layout.grid
    merge, patch = layout.merge, layout.patch_px
    blocks = planes.reshape(
        len(chosen), rows // merge, merge, patch, columns // merge, merge, patch, layout.num_channels
    )
    # (frame, block row, block column, row in block, column in block, channel, y, x)
    ordered = blocks.transpose(0, 1, 4, 2, 5, 7, 3, 6)
    if layout.temporal_patch > 1:
        ordered = np.repeat(ordered[:, :, :, :, :, :, None], layout.temporal_patch, axis=6)
    return np.ascontiguousarray(ordered.reshape(len(chosen), rows * columns, layout.patch_size))


def _rows(held: npt.NDArray[np.int_], wanted: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    rows = np.searchsorted(held, wanted)
    assert (held[rows] == wanted).all(), "a frame is wanted that was not decoded"
    return rows


def _scaled(frames: Frames) -> npt.NDArray[np.float32]:
    return frames.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
