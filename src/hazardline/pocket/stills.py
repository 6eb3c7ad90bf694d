"""The image base's corpus: simulated images in memory (a memory map), their truth, and dense targets for the encoder.

Used to pre-train the pocket image base only. Nothing here knows of risk or of what to do about it.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from hazardline import image_file
from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME, Heading, NativeClip, StillObject, StillTruth
from hazardline.pocket.perception import COLOURS, KINDS, WEATHERS, Floats
from hazardline.progress import Reporter
from hazardline.vlm.layout import Layout
from hazardline.vlm.pixels import Frames

HEADINGS: tuple[Heading, ...] = ("same", "oncoming", "from_left", "from_right", "still")
ROADS = ("narrow_lane", "intersection", "urban_road", "highway")
SIGNALS = (None, "red", "green")
CELL_TARGETS = 11
"""Occupancy, kind (0 none), colour (0 none), heading, box (4), log range / 2, metres to the right / 10, brake light."""
FRAME_TARGETS = 9
"""Weather, night, road, lanes - 1, signal, crossing, bump, log range of the nearest / 2, number of road users / 4."""
_FAR_M = 100.0
_MIRRORED: dict[Heading, Heading] = {"from_left": "from_right", "from_right": "from_left"}


@dataclass(frozen=True)
class Still:
    """An image's truth with its weather and light."""

    truth: StillTruth
    weather: str
    light: str


@dataclass(frozen=True)
class Stills:
    """The corpus: images uint8 (n, height, width, 3) as a read-only memory map, and n stills."""

    pixels: Frames
    stills: tuple[Still, ...]
    groups: tuple[str, ...]
    """Pair id of each: images of one scene."""


def prepare(root: Path, work: Path, layout: Layout, num_processes: int, reporter: Reporter) -> None:
    """Decode all images of a native folder into `work/pixels.npy`, where that is not done yet."""
    work.mkdir(parents=True, exist_ok=True)
    target = work / "pixels.npy"
    if target.exists():
        return
    paths = [root / clip.video for clip in _read(root)]
    partial = work / "pixels.partial.npy"
    shape = (len(paths), layout.height_px, layout.width_px, 3)
    pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    reporter.phase("decode", len(paths))
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        tasks = ((path, layout.width_px, layout.height_px) for path in paths)
        for index, image in enumerate(pool.map(_decode, tasks, chunksize=64)):
            pixels[index] = image
            reporter.advance()
    pixels.flush()
    partial.rename(target)


def _decode(task: tuple[Path, int, int]) -> np.ndarray:
    return image_file.read(*task)


def _read(root: Path) -> list[NativeClip]:
    path = root / MANIFEST_NAME
    lines = path.read_text(encoding="utf-8").splitlines()
    clips = [NativeClip.parse_json(line, f"{path} line {number}") for number, line in enumerate(lines, start=1)]
    for number, clip in enumerate(clips, start=1):
        if clip.still is None:
            raise UserError(f"{path} line {number}: no image with its truth; simulate with media image")
    return clips


def load(root: Path, work: Path) -> Stills:
    """Read what `prepare` wrote, in the order of the manifest."""
    clips = _read(root)
    stills = tuple(Still(clip.still, clip.weather, clip.light) for clip in clips if clip.still is not None)
    return Stills(np.load(work / "pixels.npy", mmap_mode="r"), stills, tuple(str(clip.pair_id) for clip in clips))


def divide(corpus: Stills, num_validation: int) -> tuple[list[int], list[int]]:
    """Indices of training and validation images; every n-th scene is held out, a fifth of them at most."""
    scenes = sorted(set(corpus.groups))
    num_validation = min(num_validation, max(1, len(scenes) // 5))
    held_out = set(scenes[:: max(1, len(scenes) // num_validation)][:num_validation])
    parts: tuple[list[int], list[int]] = ([], [])
    for index, group in enumerate(corpus.groups):
        parts[group in held_out].append(index)
    return parts


def mirrored(still: Still) -> Still:
    """The truth of the mirrored image."""
    return replace(still, truth=still.truth.model_copy(update={"objects": tuple(map(_mirror, still.truth.objects))}))


def _mirror(item: StillObject) -> StillObject:
    left, top, right, bottom = item.box
    heading = _MIRRORED.get(item.heading, item.heading)
    update = {"box": (1 - right, top, 1 - left, bottom), "right_m": -item.right_m, "heading": heading}
    return item.model_copy(update=update)


def cell_targets(truth: StillTruth, rows: int, columns: int) -> Floats:
    """What stands in each cell of the image: (rows x columns, CELL_TARGETS)."""
    targets = np.zeros((rows * columns, CELL_TARGETS), np.float32)
    top, left = (
        axis.ravel() for axis in np.meshgrid(np.arange(rows) / rows, np.arange(columns) / columns, indexing="ij")
    )
    bottom, right = top + 1 / rows, left + 1 / columns
    free = np.ones(rows * columns, bool)
    for item in truth.objects:  # nearest first
        x0, y0, x1, y1 = item.box
        width, height = np.minimum(x1, right) - np.maximum(x0, left), np.minimum(y1, bottom) - np.maximum(y0, top)
        share = np.clip(width, 0, None) * np.clip(height, 0, None) * rows * columns
        targets[:, 0] = np.minimum(1, targets[:, 0] + share)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        holds_centre = (left <= x) & (x < right) & (top <= y) & (y < bottom)
        owned = free & ((share > 0.12) | holds_centre)
        free &= ~owned
        targets[owned, 1:] = [
            KINDS.index(item.kind) + 1,
            COLOURS.index(item.colour) + 1 if item.colour in COLOURS else 0,
            HEADINGS.index(item.heading),
            *item.box,
            np.log(np.clip(item.range_m, 2, _FAR_M)) / 2,
            np.clip(item.right_m / 10, -2, 2),
            item.braking,
        ]
    return targets


def frame_targets(still: Still) -> Floats:
    """What holds for the whole image: (FRAME_TARGETS,)."""
    truth = still.truth
    nearest = min((item.range_m for item in truth.objects), default=_FAR_M)
    return np.array(
        [
            WEATHERS.index(still.weather),
            still.light == "night",
            ROADS.index(truth.road),
            truth.lanes - 1,
            SIGNALS.index(truth.signal),
            truth.crossing_m is not None,
            truth.bump_m is not None,
            np.log(np.clip(nearest, 2, _FAR_M)) / 2,
            len(truth.objects) / 4,
        ],
        np.float32,
    )


def all_targets(stills: Sequence[Still], rows: int, columns: int) -> tuple[Floats, Floats]:
    """Targets of stills: (n, cells, CELL_TARGETS) and (n, FRAME_TARGETS)."""
    cells = np.stack([cell_targets(still.truth, rows, columns) for still in stills])
    return cells, np.stack([frame_targets(still) for still in stills])
