"""Generic questions about a drive, with answers from the exact tracks: what pre-training asks. About 45 types.

Nothing here knows of labels or contacts. Answers that are times have the form of the localization tasks, `3.4 seconds`
and `3.4 - 5.0 seconds`, so that pointing at a time is learned before any crash has been seen.
"""

from collections.abc import Callable

import numpy as np

from hazardline.pocket.captions import describe, ego_clause, longest_run, side_of
from hazardline.pocket.perception import FAR_M, Bools, Drive, Track
from hazardline.tasks import format_interval, format_point

QA = tuple[str, str]
Ask = Callable[[], QA | None]
_NEVER = "never"


def _yes_no(value: bool) -> str:
    return "Yes" if value else "No"


def _metres(value: float) -> str:
    return str(min(60, round(value)))


class Questions:
    """Draws questions about one drive.

    Args:
        drive: the clip, already cut and mirrored.
        rng: source of all choices.
    """

    def __init__(self, drive: Drive, rng: np.random.Generator) -> None:
        """Prepare arrays that several questions use."""
        self._drive, self._rng = drive, rng
        self._nearest = drive.nearest_range()
        self._closing = drive.nearest_closing()
        names = [track.description for track in drive.tracks]
        self._unique = [track for track in drive.tracks if names.count(track.description) == 1]

    def frame_questions(self, count: int) -> list[QA]:
        """Questions about one moment (or two)."""
        kinds: list[Ask] = [
            self._speed_at, self._range_at, self._nearest_at, self._gap_closing_at, self._slowing_at,
            self._growing_at, self._where_at, self._faster_at, self._motion_at, self._list_at,
        ]  # fmt: skip
        return self._draw(kinds, count, repeat=True)

    def clip_questions(self, count: int) -> list[QA]:
        """Questions about the whole clip: times, intervals, yes or no, lists, sentences."""
        kinds: list[Ask] = [*self._ego_questions(), *self._scene_questions()]
        for track in self._unique:
            kinds += self._some(self._track_questions(track), 4)
        if len(self._unique) > 1:
            for _ in range(3):
                first, second = self._rng.permutation(len(self._unique))[:2]
                kinds += self._some(self._pair_questions(self._unique[first], self._unique[second]), 1)
        return self._draw(kinds, count, repeat=False)

    def captions(self, count: int) -> list[QA]:
        """Questions whose answers are sentences, at least one: the whole drive, then single road users."""
        kinds: list[Ask] = [lambda track=track: self._caption(track) for track in self._drive.tracks]  # type: ignore[misc]
        return [self._summary(), *self._draw(kinds, count - 1, repeat=False)]

    def _some(self, kinds: list[Ask], count: int) -> list[Ask]:
        return [kinds[k] for k in self._rng.permutation(len(kinds))[:count]]

    def _draw(self, kinds: list[Ask], count: int, repeat: bool) -> list[QA]:
        found: list[QA] = []
        order = self._rng.integers(len(kinds), size=4 * count) if repeat else self._rng.permutation(len(kinds))
        for k in order:
            if len(found) == count:
                break
            pair = kinds[int(k)]()
            if pair is not None and (pair[1] != _NEVER or self._rng.random() <= 0.3):
                found.append(pair)
        return found

    # one moment

    def _moment(self) -> int:
        step = 2  # the model sees every second decoded frame
        return int(self._rng.integers(1, max(2, (self._drive.num_frames - 1) // step))) * step

    def _at(self, frame: int) -> str:
        return f"{frame / self._drive.rate_hz:.1f}"

    def _speed_at(self) -> QA:
        frame = self._moment()
        return f"Ego speed at {self._at(frame)} ?", _metres(self._drive.speed_mps[frame])

    def _range_at(self) -> QA:
        frame = self._moment()
        answer = "none" if self._nearest[frame] >= FAR_M else _metres(self._nearest[frame])
        return f"Range to the nearest road user at {self._at(frame)} ?", answer

    def _nearest_at(self) -> QA | None:
        frame = self._moment()
        track = self._drive.nearest(frame)
        if track is None:
            return None
        return f"Nearest road user at {self._at(frame)} ?", f"{track.description} {side_of(track.centre[frame])}"

    def _gap_closing_at(self) -> QA | None:
        frame = self._moment()
        if self._drive.nearest(frame) is None:
            return None
        return f"Is the gap closing at {self._at(frame)} ?", _yes_no(self._closing[frame] > 0.5)

    def _slowing_at(self) -> QA:
        frame = self._moment()
        return f"Does the ego car slow down at {self._at(frame)} ?", _yes_no(self._drive.acceleration[frame] < -1)

    def _growing_at(self) -> QA | None:
        frame = self._moment()
        seen = [track for track in self._drive.tracks if track.visible[frame]]
        if not seen:
            return None
        track = max(seen, key=lambda candidate: float(candidate.growth[frame]))
        answer = f"{track.description} {side_of(track.centre[frame])}"
        return f"Which road user grows fastest at {self._at(frame)} ?", answer

    def _where_at(self) -> QA | None:
        frame = self._moment()
        seen = [track for track in self._unique if track.visible[frame]]
        if not seen:
            return None
        track = seen[int(self._rng.integers(len(seen)))]
        answer = f"{side_of(track.centre[frame])} {_metres(track.range_m[frame])} m"
        return f"Where is the {track.description} at {self._at(frame)} ?", answer

    def _motion_at(self) -> QA | None:
        frame = self._moment()
        seen = [track for track in self._unique if track.visible[frame]]
        if not seen:
            return None
        track = seen[int(self._rng.integers(len(seen)))]
        closing, drift = track.closing_mps[frame], track.drift[frame]
        toward = "toward" if closing > 0.5 else "away" if closing < -0.5 else "steady"
        across = "left" if drift < -0.05 else "right" if drift > 0.05 else "straight"
        return f"How does the {track.description} move at {self._at(frame)} ?", f"{toward} {across}"

    def _faster_at(self) -> QA | None:
        first, second = sorted((self._moment(), self._moment()))
        if first == second:
            return None
        speed = self._drive.speed_mps
        answer = self._at(first if speed[first] > speed[second] else second)
        return f"Is the ego car faster at {self._at(first)} or at {self._at(second)} ?", answer

    def _list_at(self) -> QA:
        frame = self._moment()
        seen = sorted(
            (track for track in self._drive.tracks if track.visible[frame]), key=lambda track: track.range_m[frame]
        )
        items = [f"{t.description} {side_of(t.centre[frame])} {_metres(t.range_m[frame])} m" for t in seen[:3]]
        return f"List the road users at {self._at(frame)} .", " ; ".join(items) or "none"

    # the whole clip

    def _point(self, frame: int) -> str:
        return format_point(frame / self._drive.rate_hz)

    def _interval(self, mask: Bools) -> str:
        run = longest_run(mask)
        if run is None:
            return _NEVER
        return format_interval(run[0] / self._drive.rate_hz, run[1] / self._drive.rate_hz)

    def _ego_questions(self) -> list[Ask]:
        speed, gain = self._drive.speed_mps, self._drive.acceleration
        fast = int(self._rng.choice([4, 8, 12]))
        hardest = int(gain.argmin())
        slowing = np.flatnonzero(gain < -1.5)
        every_second = range(0, self._drive.num_frames, round(self._drive.rate_hz))
        return [
            lambda: (
                "When does the ego car slow down hardest ?",
                self._point(hardest) if gain[hardest] < -2 else _NEVER,
            ),
            lambda: ("When is the ego car fastest ?", self._point(int(speed.argmax()))),
            lambda: (
                "When does the ego car begin to slow down ?",
                self._point(int(slowing[0])) if len(slowing) else _NEVER,
            ),
            lambda: ("When does the ego car stand still ?", self._interval(speed < 0.7)),
            lambda: ("When does the ego car slow down ?", self._interval(gain < -1)),
            lambda: ("When does the ego car speed up ?", self._interval(gain > 0.7)),
            lambda: (f"When is the ego car faster than {fast} ?", self._interval(speed > fast)),
            lambda: ("Ego speed every second ?", " ".join(_metres(speed[k]) for k in every_second)),
            lambda: ("Does the ego car stop ?", _yes_no(bool(speed.min() < 0.7))),
            lambda: ("What does the ego car do ?", f"{ego_clause(self._drive)}."),
        ]

    def _scene_questions(self) -> list[Ask]:
        drive, nearest, closing = self._drive, self._nearest, self._closing
        near = int(self._rng.choice([5, 8, 12, 20]))
        every_second = range(0, drive.num_frames, round(drive.rate_hz))
        return [
            lambda: ("When is a road user nearest ?", self._point(int(nearest.argmin()))),
            lambda: (
                "When does the gap shrink fastest ?",
                self._point(int(closing.argmax())) if closing.max() > 1 else _NEVER,
            ),
            lambda: (f"When is a road user within {near} m ?", self._interval(nearest < near)),
            lambda: (f"Does a road user come within {near} m ?", _yes_no(bool(nearest.min() < near))),
            lambda: ("When is the gap closing fast ?", self._interval(closing > 2.5)),
            lambda: ("When do two road users line up in view ?", self._interval(drive.pair_gap() < 0.12)),
            lambda: (
                "Range to the nearest road user every second ?",
                " ".join(_metres(nearest[k]) for k in every_second),
            ),
            lambda: ("Weather , light and place ?", f"{drive.weather} {drive.light} {drive.scene}"),
            self._summary,
        ]

    def _track_questions(self, track: Track) -> list[Ask]:
        name, seen, speed = track.description, track.visible, track.speed_mps
        frames = np.flatnonzero(seen)
        reach = int(self._rng.choice([8, 12, 20]))
        place = str(self._rng.choice(["left", "centre", "right"]))
        placed = np.array([side_of(value) == place for value in track.centre])
        braking = np.flatnonzero(track.braking & seen)
        change = np.gradient(speed) * self._drive.rate_hz
        size = np.where(seen, track.box[:, 2] - track.box[:, 0], 0)
        return [
            lambda: (f"When is the {name} visible ?", self._interval(seen)),
            lambda: (f"When does the {name} first appear ?", self._point(int(frames[0]))),
            lambda: (f"When is the {name} nearest ?", self._point(int(frames[track.range_m[frames].argmin()]))),
            lambda: (
                f"When does the {name} start to brake ?",
                self._point(int(braking[0])) if len(braking) else _NEVER,
            ),
            lambda: (f"When is the {name} within {reach} m ?", self._interval((track.range_m < reach) & seen)),
            lambda: (f"When is the {name} on the {place} ?", self._interval(placed & seen)),
            lambda: (f"When does the {name} stand still ?", self._interval((speed < 0.7) & seen)),
            lambda: (f"When does the {name} move ?", self._interval((speed > 0.7) & seen)),
            lambda: (f"When does the {name} slow down ?", self._interval((change < -1.5) & seen)),
            lambda: (f"When does the {name} look largest ?", self._point(int(size.argmax()))),
            lambda: (
                f"When does the {name} grow fastest ?",
                self._point(int(np.where(seen, track.growth, -9).argmax())),
            ),
            lambda: (f"Does the {name} stop ?", _yes_no(bool(speed[seen].min() < 0.7))),
            lambda: self._caption(track),
        ]

    def _pair_questions(self, first: Track, second: Track) -> list[Ask]:
        apart = np.hypot(first.x_m - second.x_m, first.y_m - second.y_m)
        either = first.visible | second.visible
        apart = np.where(either, apart, 99.0)
        reach = int(self._rng.choice([5, 8, 12]))
        names = f"the {first.description} and the {second.description}"
        return [
            lambda: (f"When are {names} closest together ?", self._point(int(apart.argmin()))),
            lambda: (f"When are {names} within {reach} m ?", self._interval((apart < reach) & either)),
            lambda: (f"Do {names} come within {reach} m ?", _yes_no(bool(apart.min() < reach))),
        ]

    # sentences

    def _caption(self, track: Track) -> QA | None:
        if not any(track is known for known in self._unique):
            return None
        return f"What does the {track.description} do ?", f"{describe(track, self._drive)}."

    def _summary(self) -> QA:
        near = sorted(self._drive.tracks, key=lambda track: float(np.where(track.visible, track.range_m, FAR_M).min()))
        if not near:
            return "Describe the drive .", f"{ego_clause(self._drive)}."
        return "Describe the drive .", f"{describe(near[0], self._drive)} and {ego_clause(self._drive)}."
