"""A small BADAS-Open from simulated clips: its table over DoTA's clips, and the videos that it is about.

It holds crashes and near misses; normal driving has no row there and is not written. A near miss without a first sign
has no time of alert. What BADAS does not say is lost: texts, weather, light, the end of a crash.
"""

import csv
import shutil
from pathlib import Path

from hazardline.native import NativeClip
from hazardline.simulate.layouts.native_clips import read_clips, recording_of, video_of

TABLE = "dota_test_concensus.csv"
_COLUMNS = (
    "id",
    "batch",
    "Event-type",
    "Nexar-vehicle-involved",
    "min_support",
    "Time-of-alert",
    "Time-of-collision",
    "Diff",
    "article_category",
    "ego_discrepancy",
)


def write(clips: Path, out: Path) -> None:
    """Lay out the crashes and near misses of a native folder; `out` exists and is empty."""
    (out / "videos").mkdir()
    with (out / TABLE).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        for index, clip in enumerate(read_clips(clips)):
            if clip.label == "normal":
                continue
            name = f"{recording_of(clip)}_{index:06}.mp4"
            shutil.copyfile(video_of(clips, clip), out / "videos" / name)
            writer.writerow(_row(name, clip))


def _row(name: str, clip: NativeClip) -> list[str | float]:
    is_crash = clip.label == "crash"
    collision_s = clip.times.crash_start_s if is_crash else clip.times.event_s
    alert_s = clip.times.pre_crash_start_s
    lead_s = "" if alert_s is None or collision_s is None else collision_s - alert_s
    return [
        name,
        "",
        "Collision" if is_crash else "Near-collision",
        "yes" if clip.ego_involved else "no",
        10,
        "" if alert_s is None else alert_s,
        "" if collision_s is None else collision_s,
        lead_s,
        "pos-ego" if clip.ego_involved else "pos-not-ego",
        "",
    ]
