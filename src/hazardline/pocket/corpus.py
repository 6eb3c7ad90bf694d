"""The pre-training corpus in memory: decoded frames (a memory map), tracks and dense targets of simulated clips."""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME, NativeClip
from hazardline.pocket.perception import Drive, Floats, cell_targets, drive_of, frame_targets
from hazardline.progress import Reporter
from hazardline.vlm.layout import Layout
from hazardline.vlm.pixels import Frames, read_frames


@dataclass(frozen=True)
class CorpusClip:
    """One clip ready for pre-training.

    Attributes:
        clip_id: id.
        frames: uint8 (frames, height, width, 3), a read-only memory map.
        drive: its tracks.
        cells: (frames, 24, 13), see `perception.cell_targets`.
        frame: (frames, 9), see `perception.frame_targets`.
    """

    clip_id: str
    frames: Frames
    drive: Drive
    cells: Floats
    frame: Floats


def prepare(root: Path, work: Path, layout: Layout, num_processes: int, reporter: Reporter) -> None:
    """Decode every clip of a native folder into `work/<clip_id>.frames.npy` and `.targets.npz`, where not done yet.

    Raises:
        UserError: the folder holds a crash clip, or a clip without ground truth.
    """
    work.mkdir(parents=True, exist_ok=True)
    lines = (root / MANIFEST_NAME).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if json.loads(line)["label"] == "crash":
            raise UserError(f"{root / MANIFEST_NAME}:{number}: a crash clip; the base is pre-trained without any")
    reporter.phase("decode", len(lines))
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        tasks = ((line, root, work, layout) for line in lines)
        for _ in pool.map(_prepare_clip, tasks, chunksize=8):
            reporter.advance()


def _prepare_clip(task: tuple[str, Path, Path, Layout]) -> None:
    line, root, work, layout = task
    clip = NativeClip.parse_json(line, str(root / MANIFEST_NAME))
    targets = work / f"{clip.clip_id}.targets.npz"
    if targets.exists():
        return
    frames = read_frames(root / clip.video, layout)
    drive = drive_of(clip)
    count = min(len(frames), drive.num_frames)
    np.save(work / f"{clip.clip_id}.frames.npy", frames[:count])
    partial = work / f"{clip.clip_id}.partial.npz"
    np.savez(partial, cells=cell_targets(drive)[:count], frame=frame_targets(drive)[:count])
    partial.rename(targets)


def load(root: Path, work: Path) -> list[CorpusClip]:
    """Read what `prepare` wrote, in the order of the manifest."""
    clips = []
    for line in (root / MANIFEST_NAME).read_text(encoding="utf-8").splitlines():
        clip = NativeClip.parse_json(line, str(root / MANIFEST_NAME))
        frames = np.load(work / f"{clip.clip_id}.frames.npy", mmap_mode="r")
        with np.load(work / f"{clip.clip_id}.targets.npz") as targets:
            cells, frame = targets["cells"], targets["frame"]
        clips.append(CorpusClip(clip.clip_id, frames, drive_of(clip), cells, frame))
    return clips


def divide(clips: Sequence[CorpusClip], num_validation: int) -> tuple[list[CorpusClip], list[CorpusClip]]:
    """Training and validation clips; every n-th clip is held out."""
    step = max(1, len(clips) // num_validation)
    held_out = {clip.clip_id for clip in clips[::step][:num_validation]}
    return [c for c in clips if c.clip_id not in held_out], [c for c in clips if c.clip_id in held_out]
