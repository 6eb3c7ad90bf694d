"""Per-frame targets for a middle layer of the language model at the time tags: the drive's state at that moment.

Among them who is nearest, and who has been nearest so far, with its motion, so that the last tags can hold what the
whole drive was about (docs/adr/0008). Only pre-training sees them; the head that predicts them is thrown away.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from hazardline.pocket.perception import FAR_M, WEATHERS, Drive, Floats, Track

Frames = npt.NDArray[np.int64]
Pair = tuple[Track, Track]

_NUM_ENCOUNTER = 5
NUM_AUXILIARY = 21 + 2 * _NUM_ENCOUNTER + 2


def auxiliary_targets(drive: Drive, num_sampled: int) -> Floats:
    """Targets of every second frame of a drive: float32 (num_sampled, NUM_AUXILIARY)."""
    count = drive.num_frames
    frames = np.minimum(np.arange(num_sampled) * 2, count - 1)
    later = np.minimum(frames + 6, count - 1)
    nearest, closing, gap = drive.nearest_range(), drive.nearest_closing(), drive.pair_gap()
    owners = [drive.nearest(int(frame)) for frame in frames]
    centre = [float(t.centre[f]) if t else 0.5 for t, f in zip(owners, frames, strict=True)]
    width = [float(t.box[f, 2] - t.box[f, 0]) if t else 0.0 for t, f in zip(owners, frames, strict=True)]
    owner_speed = [float(t.speed_mps[f]) if t else 0.0 for t, f in zip(owners, frames, strict=True)]
    seen = np.sum([np.zeros(count), *(track.visible for track in drive.tracks)], axis=0)
    apart, pairs = _closest_pair(drive)
    columns = [
        drive.speed_mps[frames] / 10,
        np.clip(drive.acceleration[frames] / 5, -3, 3),
        _log(nearest[frames]),
        np.clip(closing[frames] / 8, -2, 2),
        gap[frames],
        seen[frames] / 4,
        np.asarray(centre) * 2 - 1,
        np.asarray(width) * 2,
        np.asarray(owner_speed) / 10,
        drive.speed_mps[frames] < 0.7,
        drive.speed_mps[later] / 10,
        _log(nearest[later]),
        _log(np.minimum.accumulate(nearest)[frames]),
        np.clip(np.minimum.accumulate(drive.acceleration)[frames] / 5, -3, 0),
        _log(apart[frames]),
        _log(np.minimum.accumulate(apart)[frames]),
        np.full(num_sampled, drive.light == "night"),
        *(np.full(num_sampled, drive.weather == weather) for weather in WEATHERS),
        *_encounters(drive, frames).T,
        *_encounters(drive, _least_so_far(nearest)[frames]).T,
        *_pair_speed(drive, pairs, _least_so_far(apart)[frames]).T,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _least_so_far(values: Floats) -> Frames:
    """Index of the least value up to each frame (of equal ones the last), (frames,)."""
    is_new = values <= np.minimum.accumulate(values)
    return np.maximum.accumulate(np.where(is_new, np.arange(len(values)), 0))


def _encounters(drive: Drive, frames: Frames) -> Floats:
    """The nearest road user of some frames, (frames, _NUM_ENCOUNTER); zeros where there is none.

    Pedestrian x 2, cyclist x 2, speed to the right / 5 and along the road / 10, distance to the right of the ego / 5.
    """
    rows = np.zeros((len(frames), _NUM_ENCOUNTER), np.float32)
    for row, frame in zip(rows, frames, strict=True):
        track = drive.nearest(int(frame))
        if track is not None:
            right, along = _velocity(track, int(frame), drive.rate_hz)
            row[:2] = 2 * (track.kind == "pedestrian"), 2 * (track.kind == "cyclist")
            row[2:] = np.clip([right / 5, along / 10, track.right_m[frame] / 5], -2, 2)
    return rows


def _velocity(track: Track, frame: int, rate_hz: float) -> tuple[float, float]:
    """Metres a second across and along the road, over about 0.4 s around a frame."""
    low, high = max(frame - 2, 0), min(frame + 2, len(track.x_m) - 1)
    seconds = max(high - low, 1) / rate_hz
    return float(track.x_m[high] - track.x_m[low]) / seconds, float(track.y_m[high] - track.y_m[low]) / seconds


def _pair_speed(drive: Drive, pairs: Sequence[Pair | None], frames: Frames) -> Floats:
    """Speeds against each other, across / 5 and along / 10, of the closest pair at some frames: (frames, 2)."""
    rows = np.zeros((len(frames), 2), np.float32)
    for row, frame in zip(rows, frames, strict=True):
        pair = pairs[int(frame)]
        if pair is not None:
            first, second = (_velocity(track, int(frame), drive.rate_hz) for track in pair)
            row[:] = np.clip([abs(first[0] - second[0]) / 5, abs(first[1] - second[1]) / 10], 0, 2)
    return rows


def _log(range_m: Floats) -> Floats:
    return (np.log(np.clip(range_m, 2.0, FAR_M)) - 2).astype(np.float32)


def _closest_pair(drive: Drive) -> tuple[Floats, list[Pair | None]]:
    """Of every frame: how far apart the two closest road users are (`FAR_M` without a pair, at most that), and who.

    A pair counts where at least one of the two is visible.
    """
    least = np.full(drive.num_frames, np.inf, np.float32)
    pairs: list[Pair | None] = [None] * drive.num_frames
    for first, second in combinations(drive.tracks, 2):
        distance = np.hypot(first.x_m - second.x_m, first.y_m - second.y_m)
        for frame in np.flatnonzero((first.visible | second.visible) & (distance < least)):
            least[frame], pairs[frame] = distance[frame], (first, second)
    return np.minimum(least, FAR_M), pairs
