"""A small copy of Nexar's collision data set from simulated clips, in the layout of the challenge or of the hub.

Crashes and near misses are positives, as in Nexar, which does not tell them apart: the time of a near miss's event is
that of its nearest moment. Normal driving is negative. The end of a crash, pairs, agents and texts have no place there.
"""

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hazardline.native import NativeClip
from hazardline.simulate.layouts.native_clips import read_clips, video_of

_WEATHER: Mapping[str, str] = {"sunny": "Clear", "rainy": "Rain", "snowy": "Snow", "foggy": "Fog"}
_LIGHT: Mapping[str, str] = {"day": "Normal", "night": "Dark"}
_SCENE: Mapping[str, str] = {"urban": "Urban", "rural": "Rural", "highway": "Highway"}
_OTHER = "Other"
_CHALLENGE = ("id", "time_of_event", "time_of_alert", "target")
_HUB = (
    *("file_name", "time_of_event", "time_of_alert", "light_conditions", "weather", "scene"),
    "time_to_accident",
)


def write(clips: Path, out: Path) -> None:
    """Lay out as the challenge does: `train.csv` and `train/00001.mp4`; `out` exists and is empty."""
    rows = []
    for number, clip in _numbered(clips):
        _copy(clips, clip, out / "train" / f"{number}.mp4")
        rows.append([number, *_times(clip), "0" if clip.label == "normal" else "1"])
    _write_table(out / "train.csv", _CHALLENGE, rows)


def write_hub(clips: Path, out: Path) -> None:
    """Lay out as the hub does: `train/positive` and `train/negative`, each with a `metadata.csv`."""
    rows: dict[str, list[list[str]]] = {"positive": [], "negative": []}
    for number, clip in _numbered(clips):
        folder = "negative" if clip.label == "normal" else "positive"
        _copy(clips, clip, out / "train" / folder / f"{number}.mp4")
        event, alert = _times(clip)
        conditions = _LIGHT.get(clip.light, _OTHER), _WEATHER.get(clip.weather, _OTHER), _SCENE.get(clip.scene, _OTHER)
        lead = f"{float(event) - float(alert):.3f}" if event and alert else ""
        rows[folder].append([f"{number}.mp4", event, alert, *conditions, lead])
    for folder, found in rows.items():
        _write_table(out / "train" / folder / "metadata.csv", _HUB, found)


def _numbered(clips: Path) -> Iterator[tuple[str, NativeClip]]:
    for number, clip in enumerate(read_clips(clips), 1):
        yield f"{number:05}", clip


def _times(clip: NativeClip) -> tuple[str, str]:
    """Event and alert in seconds, to the millisecond; empty where there is none."""
    if clip.label == "normal":
        return "", ""
    event_s = clip.times.event_s if clip.times.crash_start_s is None else clip.times.crash_start_s
    alert_s = clip.times.pre_crash_start_s
    return tuple("" if time_s is None else f"{time_s:.3f}" for time_s in (event_s, alert_s))  # type: ignore[return-value]


def _copy(clips: Path, clip: NativeClip, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video_of(clips, clip), target)


def _write_table(path: Path, columns: Sequence[str], rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
