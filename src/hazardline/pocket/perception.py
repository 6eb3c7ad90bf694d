"""What can be perceived in a simulated clip: exact tracks as arrays, and dense targets for the vision encoder.

Used to pre-train the pocket base only. It knows geometry and motion; it does not know labels, contacts or outcomes.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hazardline.native import AgentTrack, NativeClip

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

KINDS = ("car", "suv", "van", "truck", "pedestrian", "cyclist")
COLOURS = ("red", "blue", "white", "black", "silver", "green", "yellow", "grey")
WEATHERS = ("sunny", "rainy", "snowy", "foggy")
SCENES = ("urban", "rural", "highway")
FAR_M = 70.0


@dataclass(frozen=True)
class Track:
    """One road user other than the ego vehicle; arrays have one value a frame."""

    kind: str
    colour: str
    visible: Bools
    box: Floats
    """(frames, 4), fractions of the image; meaningful where visible."""
    range_m: Floats
    closing_mps: Floats
    """Rate at which its distance to the ego vehicle shrinks."""
    growth: Floats
    """Rate of the logarithm of its image area, 1/s."""
    drift: Floats
    """Horizontal speed of its box in image widths a second."""
    speed_mps: Floats
    braking: Bools
    right_m: Floats
    """Lateral position relative to the ego vehicle, positive to the right."""
    ahead_m: Floats
    x_m: Floats
    y_m: Floats

    @property
    def description(self) -> str:
        """Colour and kind, for example `red van`."""
        return f"{self.colour} {self.kind}"

    @property
    def centre(self) -> Floats:
        """Horizontal centre of the box, (frames,)."""
        return np.asarray((self.box[:, 0] + self.box[:, 2]) / 2, np.float32)


@dataclass(frozen=True)
class Drive:
    """A clip as the ego vehicle perceives it."""

    rate_hz: float
    speed_mps: Floats
    acceleration: Floats
    tracks: tuple[Track, ...]
    weather: str
    light: str
    scene: str

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self.speed_mps)

    def nearest_range(self) -> Floats:
        """Distance to the nearest visible road user, `FAR_M` where there is none, (frames,)."""
        ranges = [np.where(track.visible, track.range_m, FAR_M) for track in self.tracks]
        nearest: Floats = np.min([*ranges, np.full(self.num_frames, FAR_M)], axis=0).astype(np.float32)
        return nearest

    def nearest(self, frame: int) -> Track | None:
        """The nearest visible road user of a frame."""
        seen = [track for track in self.tracks if track.visible[frame]]
        return min(seen, key=lambda track: float(track.range_m[frame])) if seen else None

    def nearest_closing(self) -> Floats:
        """Closing speed of the nearest visible road user, 0 where there is none, (frames,)."""
        values = np.zeros(self.num_frames, np.float32)
        for frame in range(self.num_frames):
            track = self.nearest(frame)
            values[frame] = track.closing_mps[frame] if track else 0.0
        return values

    def pair_gap(self) -> Floats:
        """Least distance in the image between two other road users, in heights of the larger one, at most 1."""
        gap = np.ones(self.num_frames, np.float32)
        for i, first in enumerate(self.tracks):
            for second in self.tracks[i + 1 :]:
                both = first.visible & second.visible
                a, b = first.box, second.box
                height = np.maximum(np.maximum(a[:, 3] - a[:, 1], b[:, 3] - b[:, 1]), 0.02)
                across = np.maximum(np.maximum(a[:, 0] - b[:, 2], b[:, 0] - a[:, 2]), 0)
                along = np.abs(a[:, 3] - b[:, 3])
                gap = np.where(both, np.minimum(gap, np.hypot(across, along) / height / 3), gap)
        return gap.astype(np.float32)


def rate(values: Floats, rate_hz: float) -> Floats:
    """Backward-looking derivative over about 0.3 s, (frames,)."""
    count = len(values)
    low = np.maximum(np.arange(count) - 2, 0)
    high = np.minimum(np.arange(count) + 1, count - 1)
    steps = np.maximum(high - low, 1)
    slope: Floats = ((values[high] - values[low]) / steps * rate_hz).astype(np.float32)
    return slope


def drive_of(clip: NativeClip) -> Drive:
    """Arrays of a simulated clip. ValueError for a clip without ground truth."""
    truth = clip.ground_truth
    if truth is None or not truth.agents or truth.agents[0].name != "ego":
        raise ValueError(f"{clip.clip_id}: no ground truth with the ego vehicle first; only simulated clips have it")
    ego, *others = truth.agents
    speed = np.asarray(ego.speed_mps, np.float32)
    return Drive(
        rate_hz=truth.fps,
        speed_mps=speed,
        acceleration=rate(speed, truth.fps),
        tracks=tuple(_track(agent, ego, truth.fps) for agent in others if len(agent.frames) >= 3),
        weather=clip.weather,
        light=clip.light,
        scene=clip.scene,
    )


def _track(agent: AgentTrack, ego: AgentTrack, rate_hz: float) -> Track:
    count = len(ego.x_m)
    x, y = np.asarray(agent.x_m, np.float32), np.asarray(agent.y_m, np.float32)
    right, ahead = x - np.asarray(ego.x_m, np.float32), y - np.asarray(ego.y_m, np.float32)
    visible = np.zeros(count, bool)
    box = np.zeros((count, 4), np.float32)
    frames = np.asarray(agent.frames, np.int64)
    visible[frames] = True
    box[frames] = np.asarray(agent.boxes, np.float32)
    area = np.log(np.maximum((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), 1e-5)).astype(np.float32)
    steady = visible & np.roll(visible, 2) & (np.arange(count) >= 2)
    range_m = np.hypot(right, ahead).astype(np.float32)
    return Track(
        kind=agent.kind,
        colour=agent.colour,
        visible=visible,
        box=box,
        range_m=range_m,
        closing_mps=-rate(range_m, rate_hz),
        growth=np.where(steady, rate(area, rate_hz), 0).astype(np.float32),
        drift=np.where(steady, rate(np.asarray((box[:, 0] + box[:, 2]) / 2, np.float32), rate_hz), 0).astype(
            np.float32
        ),
        speed_mps=np.asarray(agent.speed_mps, np.float32),
        braking=np.asarray(agent.braking, bool),
        right_m=right,
        ahead_m=ahead,
        x_m=x,
        y_m=y,
    )


def cut(drive: Drive, start: int, stop: int, mirrored: bool) -> Drive:
    """Frames `start` to `stop` of a clip, mirrored left to right or not; road users never seen there are left out."""
    part = slice(start, stop)
    tracks = []
    for track in drive.tracks:
        if track.visible[part].sum() < 3:
            continue
        arrays = {
            name: getattr(track, name)[part] for name in track.__dataclass_fields__ if name not in ("kind", "colour")
        }
        if mirrored:
            left, top, right, bottom = arrays["box"].T
            arrays["box"] = np.stack([1 - right, top, 1 - left, bottom], axis=1)
            for name in ("drift", "right_m", "x_m"):
                arrays[name] = -arrays[name]
        tracks.append(replace(track, **arrays))
    return replace(drive, speed_mps=drive.speed_mps[part], acceleration=drive.acceleration[part], tracks=tuple(tracks))


CELL_ROWS, CELL_COLUMNS = 4, 6
CELL_TARGETS = 13
FRAME_TARGETS = 9


def cell_targets(drive: Drive) -> Floats:
    """What stands in each of 4 x 6 cells of each frame: (frames, 24, 13).

    Occupancy, kind (0 none), colour, box, log range / 2, closing / 8, growth, drift x 2, brake light, speed / 10.
    """
    targets = np.zeros((drive.num_frames, CELL_ROWS * CELL_COLUMNS, CELL_TARGETS), np.float32)
    for frame in range(drive.num_frames):
        seen = sorted(
            (track for track in drive.tracks if track.visible[frame]), key=lambda track: float(track.range_m[frame])
        )
        for cell in range(CELL_ROWS * CELL_COLUMNS):
            _fill_cell(targets[frame, cell], cell, seen, frame)
    return targets


def _fill_cell(target: Floats, cell: int, seen: list[Track], frame: int) -> None:
    top, left = cell // CELL_COLUMNS / CELL_ROWS, cell % CELL_COLUMNS / CELL_COLUMNS
    bottom, right = top + 1 / CELL_ROWS, left + 1 / CELL_COLUMNS
    owner: Track | None = None
    for track in seen:
        box = track.box[frame]
        width, height = min(box[2], right) - max(box[0], left), min(box[3], bottom) - max(box[1], top)
        if width <= 0 or height <= 0:
            continue
        share = float(width * height * CELL_ROWS * CELL_COLUMNS)
        target[0] = min(1.0, target[0] + share)
        centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        holds_centre = left <= centre_x < right and top <= centre_y < bottom
        if owner is None and (share > 0.12 or holds_centre):
            owner = track
    if owner is None:
        return
    target[1] = KINDS.index(owner.kind) + 1
    target[2] = COLOURS.index(owner.colour) + 1 if owner.colour in COLOURS else 0
    target[3:7] = owner.box[frame]
    target[7] = np.log(max(owner.range_m[frame], 2.0)) / 2
    target[8] = np.clip(owner.closing_mps[frame] / 8, -2, 2)
    target[9] = np.clip(owner.growth[frame], -3, 3)
    target[10] = np.clip(owner.drift[frame] * 2, -2, 2)
    target[11] = owner.braking[frame]
    target[12] = owner.speed_mps[frame] / 10


def frame_targets(drive: Drive) -> Floats:
    """What holds for each whole frame: (frames, 9).

    Speed / 10, acceleration / 5, weather, night, log range of the nearest / 2, its closing speed / 8, gap between the
    two closest road users in the image, number of road users / 4, scene.
    """
    count = drive.num_frames
    seen = np.sum([np.zeros(count), *(track.visible for track in drive.tracks)], axis=0)
    columns = [
        drive.speed_mps / 10,
        np.clip(drive.acceleration / 5, -3, 3),
        np.full(count, WEATHERS.index(drive.weather)),
        np.full(count, drive.light == "night"),
        np.log(np.maximum(drive.nearest_range(), 2.0)) / 2,
        np.clip(drive.nearest_closing() / 8, -2, 2),
        drive.pair_gap(),
        seen / 4,
        np.full(count, SCENES.index(drive.scene)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
