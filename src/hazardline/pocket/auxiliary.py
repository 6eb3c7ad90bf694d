"""Per-frame targets for a middle layer of the language model at the time tags: the drive's state at that moment."""

import numpy as np

from hazardline.pocket.perception import FAR_M, WEATHERS, Drive, Floats

NUM_AUXILIARY = 21


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
    apart = _closest_pair(drive)
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
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _log(range_m: Floats) -> Floats:
    return (np.log(np.clip(range_m, 2.0, FAR_M)) - 2).astype(np.float32)


def _closest_pair(drive: Drive) -> Floats:
    """Distance between the two visible road users that are closest together, `FAR_M` without a pair, (frames,)."""
    apart = np.full(drive.num_frames, FAR_M, np.float32)
    for i, first in enumerate(drive.tracks):
        for second in drive.tracks[i + 1 :]:
            both = first.visible | second.visible
            distance = np.hypot(first.x_m - second.x_m, first.y_m - second.y_m)
            apart = np.where(both, np.minimum(apart, distance), apart).astype(np.float32)
    return apart
