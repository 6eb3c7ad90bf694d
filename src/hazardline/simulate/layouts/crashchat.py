"""CrashChat's annotation from simulated clips: its files, names, records and wording (arXiv 2512.18878).

As released, there is a file for each task and for each group of tasks, with the same records again, in three splits;
here a clip and its twin are in one split. Crashes take the names of MM-AU's CAP, normal driving those of D2-City and
near misses those of Nexar, so the source tells the label, as it does in the released files. A near miss is a negative
there. Times are rounded to tenths. Weather, light, pairs and agents have no place in this form.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from hazardline.files import write_json
from hazardline.native import NativeClip
from hazardline.simulate.config import HAZARD_FAMILIES
from hazardline.simulate.layouts.native_clips import read_clips, video_of
from hazardline.synthesize.deterministic import annotate
from hazardline.synthesize.pair import QaPair
from hazardline.synthesize.records import Record
from hazardline.tasks import LOCALIZATION_TASKS, PROMPTS, TASKS, Task

_PROMPTS = PROMPTS["crashchat@1"]
_FILE_NAME = "crashchat_dada_video_total_{}_{}.json"
_SPLITS = ("train", "val", "test")
_GROUPS: Mapping[str, tuple[Task, ...]] = {
    **{task: (task,) for task in TASKS},
    "linguistic_centric": tuple(task for task in TASKS if task not in LOCALIZATION_TASKS),
    "perception_centric": LOCALIZATION_TASKS,
    "heterogeneous": TASKS,
}
"""Tasks of each of the released files."""


def write(clips: Path, out: Path) -> None:
    """Lay out all clips of a native folder: `videos/` and the files beside it; `out` exists and is empty."""
    (out / "videos").mkdir(parents=True)
    records: dict[tuple[str, Task], list[Record]] = {(split, task): [] for split in _SPLITS for task in TASKS}
    groups: dict[str, int] = {}
    for number, clip in enumerate(read_clips(clips)):
        group = groups.setdefault(clip.recording_id or clip.pair_id or clip.clip_id, len(groups))
        name, source = _name(clip, number)
        shutil.copyfile(video_of(clips, clip), out / "videos" / name)
        for pair in _pairs(clip):
            record = Record.of(pair, {"video_uri": f"videos/{name}", "source": source})
            records[split_of_group(group), pair.task].append(record)
    for split in _SPLITS:
        for title, tasks in _GROUPS.items():
            found = [record.model_dump(mode="json", by_alias=True) for task in tasks for record in records[split, task]]
            write_json(out / _FILE_NAME.format(title, split), found)


def split_of_group(number: int) -> str:
    """Of ten groups eight are for training, one for validation and one for testing."""
    return {1: "val", 2: "test"}.get(number % 10, "train")


def _name(clip: NativeClip, number: int) -> tuple[str, str]:
    """File name and source."""
    if clip.label == "crash":
        known = clip.scenario in HAZARD_FAMILIES
        kind = 1 + HAZARD_FAMILIES.index(clip.scenario) if known else 1 + len(HAZARD_FAMILIES)
        return f"cap_{kind}_{number:06}.mp4", "MM-AU-CAP"
    if clip.label == "normal":
        return f"d2city_1001_{number:04}.mp4", "D2City"
    return f"nexar_{number:04}.mp4", "Nexar"


def _pairs(clip: NativeClip) -> Iterator[QaPair]:
    scene = {**clip.times.data(), **clip.data()}
    return iter(annotate(scene, "", _PROMPTS).pairs)
