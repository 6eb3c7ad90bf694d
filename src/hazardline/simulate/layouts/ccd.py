"""A small CarCrashDataset (CCD) from simulated clips: `videos/{Normal,Crash-1500}/000001.mp4` and `Crash-1500.txt`.

CCD's clips are 50 frames at 10 fps. Of a longer clip a window of five seconds is taken, so that the crash begins in it
where it does in CCD (towards the end); the window's first frame is the annotation's start frame. Near misses go to
`Normal`, the only place that CCD has for clips without a crash. What CCD does not say is lost: texts, the first sign
of the hazard, fog, the end of the crash.
"""

import itertools
from pathlib import Path

from hazardline.errors import UserError
from hazardline.native import NativeClip
from hazardline.simulate.layouts.native_clips import pictures, read_clips, recording_of, video_of
from hazardline.simulate.mp4 import encode
from hazardline.video_file import probe

FPS = 10
NUM_FRAMES = 50
CRASH_FRAME = 35
"""Where in its window a crash begins, as far as the clip allows."""
_WEATHER = {"snowy": "Snowy", "rainy": "Rainy"}


def write(clips: Path, out: Path) -> None:
    """Lay out all clips of a native folder; `out` exists and is empty.

    Raises:
        UserError: a clip is shorter than five seconds.
    """
    lines: list[str] = []
    num_normal = 0
    for clip in read_clips(clips):
        if clip.label == "crash":
            name, folder = f"{len(lines) + 1:06}", "Crash-1500"
        else:
            num_normal += 1
            name, folder = f"{num_normal:06}", "Normal"
        first = _write_video(clips, clip, out / "videos" / folder / f"{name}.mp4")
        if clip.label == "crash":
            lines.append(_line(name, clip, first))
    (out / "Crash-1500.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def window_start(clip: NativeClip, num_frames: int) -> int:
    """First frame, at 10 fps, of the five seconds that are kept of a clip."""
    crash_s = clip.times.crash_start_s
    wanted = 0 if crash_s is None else round(crash_s * FPS) - CRASH_FRAME
    return max(0, min(wanted, num_frames - NUM_FRAMES))


def _write_video(root: Path, clip: NativeClip, target: Path) -> int:
    path = video_of(root, clip)
    num_frames = probe(path).num_samples(FPS)
    if num_frames < NUM_FRAMES:
        raise UserError(
            f"{path}: {num_frames / FPS} s; CCD's clips last 5 s. Give longer clips (simulate.min_clip_s: 5)"
        )
    first = window_start(clip, num_frames)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(itertools.islice(pictures(path, FPS), first, first + NUM_FRAMES), FPS))
    return first


def _line(name: str, clip: NativeClip, first: int) -> str:
    crash = round((clip.times.crash_start_s or 0.0) * FPS) - first
    labels = ",".join("1" if frame >= crash else "0" for frame in range(NUM_FRAMES))
    timing = "Night" if clip.light == "night" else "Day"
    weather = _WEATHER.get(clip.weather, "Normal")
    involved = "Yes" if clip.ego_involved else "No"
    return f"{name},[{labels}],{first},{recording_of(clip)},{timing},{weather},{involved}"
