"""What a road user does, as a sentence, from its track alone: position, direction, speed. No outcomes, no labels."""

import numpy as np

from hazardline.pocket.perception import Bools, Drive, Floats, Track

_LANE_M = 1.8


def side_of(value: float) -> str:
    """Place in the image, from the horizontal centre of a box (0 to 1)."""
    return "left" if value < 0.4 else "right" if value > 0.6 else "centre"


def describe(track: Track, drive: Drive) -> str:
    """One clause, for example `the car ahead brakes hard`."""
    seen = np.flatnonzero(track.visible)
    part = slice(int(seen[0]), int(seen[-1]) + 1)
    if track.kind in ("pedestrian", "cyclist"):
        return _on_foot(track, part)
    across = float(np.ptp(track.x_m[part]))
    along = float(track.y_m[part][-1] - track.y_m[part][0])
    moved = float(np.hypot(np.ptp(track.x_m[part]), np.ptp(track.y_m[part])))
    name = track.kind
    if moved < 1.0:
        return f"a {name} stands still on the {_side(track, part)}"
    if across > 5.0 and across > abs(along):
        origin = "left" if track.x_m[part][-1] > track.x_m[part][0] else "right"
        return f"a {name} from the {origin} enters the intersection{_ending(track, part)}"
    if along < -1.0:
        if across > 3.0:
            return f"an oncoming {name} turns across the road"
        return f"an oncoming {name} approaches on the {_side(track, part)}"
    return _same_direction(track, part, drive)


def _same_direction(track: Track, part: slice, drive: Drive) -> str:
    right, ahead, name = track.right_m[part], track.ahead_m[part], track.kind
    if abs(right[0]) > 2.4 and abs(right[-1]) < 1.4:
        return f"a {name} from the {'left' if right[0] < 0 else 'right'} lane moves into the ego lane"
    if abs(right[0]) < 1.4 and abs(right[-1]) > 2.4:
        return f"the {name} ahead changes to the {'left' if right[-1] < 0 else 'right'} lane"
    if ahead[0] < 2.0 and ahead[-1] > 6.0 and abs(right[-1]) > _LANE_M:
        return f"a {name} overtakes on the {'left' if right[-1] < 0 else 'right'}"
    place = "ahead" if abs(float(np.median(right))) < _LANE_M else f"in the {_side(track, part)} lane"
    return f"the {name} {place} {_verb(track.speed_mps[part], drive.rate_hz)}"


def _on_foot(track: Track, part: slice) -> str:
    change = float(track.x_m[part][-1] - track.x_m[part][0])
    if abs(change) > 1.2:
        return f"a {track.kind} crosses from the {'left' if change > 0 else 'right'}"
    return f"a {track.kind} waits on the {_side(track, part)}"


def _side(track: Track, part: slice) -> str:
    return "left" if float(np.median(track.right_m[part])) < 0 else "right"


def _ending(track: Track, part: slice) -> str:
    speed = track.speed_mps[part]
    return " and stops" if speed[-1] < 0.7 < speed.max() else ""


def _verb(speed: Floats, rate_hz: float) -> str:
    window = max(1, round(0.5 * rate_hz))
    slowest = float(np.min(speed[window:] - speed[:-window])) * 2 if len(speed) > window else 0.0
    if slowest < -3.5:
        return "brakes hard"
    if slowest < -1.0:
        return "slows down"
    return "drives on"


def ego_clause(drive: Drive) -> str:
    """What the ego car does over the clip, for example `the ego car brakes hard and stops`."""
    verb = _verb(drive.speed_mps, drive.rate_hz)
    stops = drive.speed_mps.max() > 1.0 and drive.speed_mps[-1] < 0.7
    return f"the ego car {verb}" + (" and stops" if stops else "")


def longest_run(mask: Bools, min_length: int = 2) -> tuple[int, int] | None:
    """First and last-plus-one index of the longest run of True, or None if none is `min_length` long."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    runs = [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    runs = [run for run in runs if run[1] - run[0] >= min_length]
    return max(runs, key=lambda run: run[1] - run[0]) if runs else None
