"""Rows and frames of the accident sheets that DADA-2000 and MM-AU share, from simulated clips."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import openpyxl

from hazardline.errors import UserError
from hazardline.files import write_atomic
from hazardline.native import NativeClip
from hazardline.simulate.config import HAZARD_FAMILIES, NORMAL_FAMILIES
from hazardline.simulate.layouts.native_clips import video_of, write_frames

DADA_FPS = 30
_FAMILIES: tuple[str, ...] = (*HAZARD_FAMILIES, *NORMAL_FAMILIES)
_CODES: Mapping[str, Mapping[str, int]] = {
    "weather": {"sunny": 1, "rainy": 2, "snowy": 3, "foggy": 4},
    "light": {"day": 1, "night": 2},
    "scene": {"highway": 1, "urban": 4, "rural": 5},
}

Cell = str | int | None
HEADER_BEFORE = (
    "video",
    "weather(sunny,rainy,snowy,foggy)1-4",
    "light(day,night)1-2",
    "scenes(highway,tunnel,mountain,urban,rural)1-5",
    "linear(arterials,curve,intersection,T-junction,ramp) 1-5",
    "type",
    "whether an accident occurred (1/0)",
)
HEADER_AFTER = ("[0,tai]", "[tai,tco]", "[tai,tae]", "[tco,tae]", "[tae,end]", "texts", "causes", "measures")
DADA_FRAMES = ("abnormal start frame", "accident frame", "abnormal end frame", "total frames")


@dataclass(frozen=True)
class Row:
    """One clip as the sheets describe it: codes, frame numbers (None where there is none), texts."""

    category: int
    number: int
    weather: int | None
    light: int | None
    scene: int | None
    occurred: int
    start: int | None
    crash: int | None
    end: int | None
    total: int
    texts: str | None
    causes: str | None
    measures: str | None


class Numbering:
    """Gives each clip a category and a number that starts anew in every category, as in DADA."""

    def __init__(self) -> None:
        """No clip yet."""
        self._used: dict[int, int] = {}

    def next(self, clip: NativeClip) -> tuple[int, int]:
        """Category and number. The categories are the simulator's families, not the 62 of the data set."""
        known = clip.scenario in _FAMILIES
        category = _FAMILIES.index(clip.scenario) + 1 if known else len(_FAMILIES) + 1
        self._used[category] = self._used.get(category, 0) + 1
        return category, self._used[category]


def write_clip(root: Path, clip: NativeClip, folder: Path, name: str, fps: int, category: int, number: int) -> Row:
    """Write the frames of a clip from number 1 on, and say what the sheet says of it.

    A near miss has the moment of its event as accident frame and no abnormal window; normal driving has none.

    Args:
        root: the native folder.
        clip: the clip.
        folder: receives the frames.
        name: their names with the number to be filled in: `{:04}.png`.
        fps: frames a second.
        category: column `type`.
        number: column `video`.

    Raises:
        UserError: a crash lacks one of the three times that the sheet must have.
    """
    total = write_frames(video_of(root, clip), fps, f"{folder}/{name}", first=1)
    start, crash, end = _frames(root, clip, fps, total)
    return Row(
        category=category,
        number=number,
        weather=_CODES["weather"].get(clip.weather),
        light=_CODES["light"].get(clip.light),
        scene=_CODES["scene"].get(clip.scene),
        occurred=int(clip.label == "crash"),
        start=start,
        crash=crash,
        end=end,
        total=total,
        texts=None if clip.description is None else f"[CLS]{clip.description}[SEP]",
        causes=None if clip.cause is None else clip.cause.replace(" ", "\N{NO-BREAK SPACE}", 1),
        measures=None if clip.prevention is None else f"{clip.prevention}  ",
    )


def _frames(root: Path, clip: NativeClip, fps: int, total: int) -> tuple[int | None, int | None, int | None]:
    times = clip.times
    if clip.label == "normal":
        return None, None, None
    if clip.label == "near_miss":
        return None, None if times.event_s is None else max(1, round(times.event_s * fps)), None
    if times.pre_crash_start_s is None or times.crash_start_s is None or times.crash_end_s is None:
        needed = "pre_crash_start_s, crash_start_s and crash_end_s"
        raise UserError(f"{root}: clip {clip.clip_id}: this layout needs {needed} of a crash; add them to the manifest")
    crash = max(1, round(times.crash_start_s * fps))
    start = min(round(times.pre_crash_start_s * fps), crash - 1)
    return start, crash, min(max(crash, round(times.crash_end_s * fps)), total)


def dada_cells(row: Row, number: int) -> list[Cell]:
    """Cells under HEADER_BEFORE, DADA_FRAMES and HEADER_AFTER; the intervals are formulas over row `number`."""
    before = [row.number, row.weather, row.light, row.scene, 1, row.category, row.occurred]
    n = number
    formulas = [f"=H{n}", f"=I{n}-H{n}", f"=J{n}-H{n}", f"=J{n}-I{n}", f"=K{n}-J{n}"]
    return [*before, row.start, row.crash, row.end, row.total, *formulas, row.texts, row.causes, row.measures]


def write_dada_sheet(path: Path, rows: Sequence[Row]) -> None:
    """Write the annotation sheet of DADA: `Sheet1`, the accident frame before the abnormal end frame."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append([*HEADER_BEFORE, *DADA_FRAMES, *HEADER_AFTER])
    for number, row in enumerate(rows, 2):
        sheet.append(dada_cells(row, number))
    buffer = io.BytesIO()
    book.save(buffer)
    write_atomic(path, _without_dates(buffer))


def _without_dates(book: io.BytesIO) -> bytes:
    """The same zip without the time of its making, so that the same rows always give the same bytes."""
    result = io.BytesIO()
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "docProps/core.xml":
                data = re.sub(rb">\d{4}-\d\d-\d\dT[\d:.]+Z<", b">1980-01-01T00:00:00Z<", data)
            target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return result.getvalue()
