"""Which frames of a clip an endpoint is shown, and those frames as JPEG.

Frames lie on a clock of 10 Hz (CrashChat's resampling, arXiv 2512.18878), so that a time that is said of a frame has
one decimal, like the times of answers.
"""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from hazardline import video
from hazardline.image_file import is_image
from hazardline.mirror.clips import make_present
from hazardline.synthesize.endpoint.config import EndpointConfig
from hazardline.synthesize.pair import SceneRow

RATE_HZ = 10.0


def frame_indices(scene: SceneRow, num_frames: int) -> list[int]:
    """Frames to show, as ascending numbers on the clock.

    Of a crash: its start, its first sign, its end, one before the first sign and one after the end, in this order as
    far as they are known and wanted; more frames halve the widest gaps. Of another clip: evenly. Of an image: the one.
    """
    if is_image(Path(scene["video_uri"])):
        return [0]
    duration_s = scene["duration_s"]
    last = max(1, int(duration_s * RATE_HZ)) - 1
    marks = _event_times(scene)
    if not marks:
        marks = [(number + 0.5) / num_frames * duration_s for number in range(num_frames)]
    chosen: list[int] = []
    for time_s in marks:
        index = min(max(round(time_s * RATE_HZ), 0), last)
        if index not in chosen and len(chosen) < num_frames:
            chosen.append(index)
    while len(chosen) < min(num_frames, last + 1):
        chosen.append(_middle_of_widest_gap(sorted(chosen), last))
    return sorted(chosen)


def _event_times(scene: SceneRow) -> list[float]:
    start_s = scene["crash_start_s"] if scene["crash_start_s"] is not None else scene["event_s"]
    first_s, end_s = scene["pre_crash_start_s"], scene["crash_end_s"]
    known = [time_s for time_s in (start_s, first_s, end_s) if time_s is not None]
    if not known:
        return []
    return [*known, min(known) / 2, (max(known) + scene["duration_s"]) / 2]


def _middle_of_widest_gap(chosen: Sequence[int], last: int) -> int:
    bounds = [-1, *chosen, last + 1]
    width, start = max((after - before, -before) for before, after in pairwise(bounds))
    return -start + width // 2


def frame_jpegs(scene: SceneRow, indices: Sequence[int], config: EndpointConfig) -> list[bytes]:
    """Those frames, as wide as the settings allow, as JPEG.

    Raises:
        VideoError: the clip is not there, or does not decode.
    """
    path = Path(scene["video_uri"])
    make_present([(path, scene["sha256"])])
    width_px = min(scene["width_px"], config.image_width_px)
    height_px = max(1, round(scene["height_px"] * width_px / scene["width_px"]))
    frames = video.at(path, [index / RATE_HZ for index in indices], width_px, height_px)
    return [_jpeg(frame, config.image_quality) for frame in frames]


def _jpeg(frame: np.ndarray, quality: int) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(frame).save(sink, "JPEG", quality=quality)
    return sink.getvalue()
