"""The ways to get frames of a clip that `benchmarks.decode` compares: ours, and peers where they are installed."""

import importlib.util
from collections.abc import Callable

import av
import numpy as np
import numpy.typing as npt

from benchmarks.decoding.cases import Case
from hazardline import video

MODEL_SIZE = (144, 96)
Frames = npt.NDArray[np.uint8]
Way = Callable[[Case], Frames | None]
"""Decodes a case: the wanted frames at their full size, or None where others were decoded."""


def whole(size: tuple[int, int] | None) -> Way:
    """All frames of the window as RGB, one after the other."""

    def decode(case: Case) -> None:
        max_s = None if case.window_s >= case.info.duration_s else case.window_s
        for _ in video.frames(case.path, case.info.fps, *(size or case.size_px), max_s):
            pass

    return decode


def sought(size: tuple[int, int] | None) -> Way:
    """`video.at`."""

    def decode(case: Case) -> Frames | None:
        found = video.at(case.path, case.times_s, *(size or case.size_px))
        return None if size else found

    return decode


def picked_by_pyav(case: Case) -> Frames:
    """What a loop over PyAV's frames does: decode up to the last wanted one, convert those that are wanted."""
    chosen, last = set(case.numbers), max(case.numbers)
    found = {}
    with av.open(str(case.path)) as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in chosen:
                found[number] = frame.to_ndarray(format="rgb24")
            if number == last:
                break
    return np.stack([found[number] for number in case.numbers])


def by_decord(case: Case) -> Frames:
    """Decord's `get_batch`."""
    from decord import VideoReader, cpu

    found: Frames = VideoReader(str(case.path), ctx=cpu(0), num_threads=1).get_batch(case.numbers).asnumpy()
    return found


def by_torchcodec(seek_mode: str) -> Way:
    """Torchcodec's `get_frames_at`."""

    def decode(case: Case) -> Frames:
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(str(case.path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=seek_mode)
        found: Frames = decoder.get_frames_at(case.numbers).data.numpy()
        return found

    return decode


WAYS: dict[str, Way] = {
    "whole, full size": whole(None),
    "whole, model size": whole(MODEL_SIZE),
    "video.at, full size": sought(None),
    "video.at, model size": sought(MODEL_SIZE),
    "PyAV, decode and pick": picked_by_pyav,
    "decord": by_decord,
    "torchcodec, exact": by_torchcodec("exact"),
    "torchcodec, approximate": by_torchcodec("approximate"),
}


def absent(name: str) -> str | None:
    """Why a way cannot be taken here, or None."""
    package = name.partition(",")[0]
    if package in ("decord", "torchcodec") and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return None
