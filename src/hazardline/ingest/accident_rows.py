"""The accident sheets of DADA-2000, which MM-AU (arXiv 2403.00436) took over for its two parts: columns, codes, times.

One row is one clip: codes of weather, light and scene, the accident's category, and the numbers of the frames (counted
from 1) where the abnormal window starts, where the accident starts, and where the window ends. Columns are found by
their names: the two parts of MM-AU order them differently. The interval columns (`[tai,tco]`) are not read; they are
formulas over those that are.

A row says whether an accident occurred. One that did not is a near miss where the row marks an abnormal window or a
moment in it (something threatened, nothing was hit), and normal driving where it marks none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.rows import read_rows, whole_number
from hazardline.ingest.sheets import read_sheet
from hazardline.native import Label, Light, Scene, Times, Weather

DADA_FPS = 30.0

_NAMES: Mapping[str, tuple[str, ...]] = {
    "video": ("video", "id"),
    "weather": ("weather",),
    "light": ("light",),
    "scenes": ("scenes", "scene"),
    "type": ("type",),
    "occurred": ("whether an accident occurred", "accident occurred"),
    "start": ("abnormal start frame",),
    "crash": ("accident frame",),
    "end": ("abnormal end frame",),
    "total": ("total frames",),
    "texts": ("texts",),
    "causes": ("causes",),
    "measures": ("measures",),
}
"""Our short names, and what the sheets (and video_metadata.json) call these columns."""
_NEEDED = ("video", "type", "occurred", "start", "crash", "end", "total")
_NO_FRAME = ("", "0", "0.0", "-1", "-1.0")
"""What stands for no frame where no accident occurred."""
_CODED = ("weather", "light", "scenes")

_LEGEND: Mapping[str, tuple[str, ...]] = {
    "weather": ("sunny", "rainy", "snowy", "foggy"),
    "light": ("day", "night"),
    "scenes": ("highway", "tunnel", "mountain", "urban", "rural"),
}
"""What the codes 1, 2, 3 ... mean where the header does not list it."""
_WEATHER: Mapping[str, Weather] = {"sunny": "sunny", "rainy": "rainy", "snowy": "snowy", "foggy": "foggy"}
_LIGHT: Mapping[str, Light] = {"day": "day", "night": "night"}
_SCENE: Mapping[str, Scene] = {"highway": "highway", "mountain": "rural", "urban": "urban", "rural": "rural"}
"""A tunnel says nothing of the three kinds of roads that we tell apart."""


@dataclass(frozen=True)
class Columns:
    """Where the columns of a sheet stand, and what its codes mean."""

    places: Mapping[str, int]
    legend: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, header: Sequence[str], origin: str) -> "Columns":
        """Find the columns by their names.

        Raises:
            UserError: one that is needed is missing, or stands there twice.
        """
        places: dict[str, int] = {}
        legend = dict(_LEGEND)
        for place, title in enumerate(header):
            name = _short_name(title)
            if name is None:
                continue
            if name in places:
                raise UserError(f"{origin}: two columns {shorten(title)!r}; keep the right one")
            places[name] = place
            if name in _CODED and (listed := re.search(r"\(([^)]*)\)", _plain(title))):
                legend[name] = tuple(word.strip() for word in listed[1].split(","))
        missing = [_NAMES[name][0] for name in _NEEDED if name not in places]
        if missing:
            found = shorten(", ".join(_plain(title) for title in header)) or "nothing"
            raise UserError(f"{origin}: no column {', '.join(missing)}; found {found}")
        return cls(places, legend)

    def values(self, cells: Sequence[str]) -> dict[str, str]:
        """The cells of a row by our names, cleaned; an absent one is empty."""
        return {name: _plain(cells[place]) if place < len(cells) else "" for name, place in self.places.items()}


@dataclass(frozen=True)
class AccidentRow:
    """A row whose clip is known; the rest of it is not looked at yet."""

    origin: str
    category: int
    """Column `type`: the accident category, 1 to 62."""
    number: int
    """Column `video`."""
    digits: int
    """Of `video` as it is written, with its leading zeros."""
    values: Mapping[str, str]
    legend: Mapping[str, tuple[str, ...]]


def read_accident_sheet(path: Path, sheet: str) -> Iterator[AccidentRow | Problem]:
    """Rows of a spreadsheet, the first of which is its header.

    Raises:
        UserError: the file is no such sheet.
    """
    columns: Columns | None = None
    for number, cells in read_sheet(path, sheet):
        if columns is None:
            columns = Columns.of(cells, str(path))
            continue
        yield accident_row(f"{path.name} row {number}", columns.values(cells), columns.legend)
    if columns is None:
        raise UserError(f"{path}: the sheet is empty; expected a header and one row a clip")


def read_accident_csv(path: Path) -> Iterator[AccidentRow | Problem]:
    """The same, of a table with commas."""
    columns: Columns | None = None
    for origin, row in read_rows(path, path.name, (), "a table of accidents"):
        columns = columns or Columns.of(tuple(row), str(path))
        yield accident_row(origin, columns.values(tuple(row.values())), columns.legend)


def read_accident_entry(origin: str, entry: object) -> AccidentRow | Problem:
    """An entry of video_metadata.json, whose values are texts under the names of the columns."""
    if not isinstance(entry, Mapping):
        return Problem(origin, "", "bad_annotation", f"{origin}: no object with the clip's annotation")
    values = {name: "" for name in _NAMES}
    for title, value in entry.items():
        name = _short_name(str(title).replace("_", " "))
        if name is not None and isinstance(value, str | int | float):
            values[name] = _plain(str(value))
    return accident_row(origin, values, _LEGEND)


def accident_row(
    origin: str, values: Mapping[str, str], legend: Mapping[str, tuple[str, ...]]
) -> AccidentRow | Problem:
    """Find out which clip a row is about: the key is type and video, for `video` repeats across types in DADA."""
    video, category = whole_number(values["video"]), whole_number(values["type"])
    if video is None or category is None:
        wrong = f"video {values['video']!r}, type {values['type']!r}: not two whole numbers"
        return Problem(origin, "", "bad_annotation", shorten(f"{origin}: {wrong}"))
    return AccidentRow(origin, int(category), int(video), len(video), values, legend)


def candidate_of(
    row: AccidentRow, clip_id: str, video: str, fps: float, source: str, recording_id: str | None
) -> Candidate | Problem:
    """A row as a candidate; seconds are frame numbers divided by the rate.

    The end of the crash is left open where the window ends with the accident's first frame: such a crash has no length.

    Args:
        row: the row.
        clip_id: name of the clip.
        video: its folder of frames, below the root.
        fps: its rate.
        source: name of the data set.
        recording_id: as in `Candidate`.
    """
    try:
        occurred, frames = _numbers(row)
    except ValueError as error:
        return Problem(clip_id, video, "bad_annotation", shorten(f"{row.origin}: {error}"))
    label, times, fault = _label_and_times(frames, occurred, fps)
    if fault:
        return Problem(clip_id, video, "times_out_of_order", f"{row.origin}: {fault}")
    return Candidate(
        origin=row.origin,
        clip_id=clip_id,
        video=video,
        fps=fps,
        label=label,
        source=source,
        times=times,
        recording_id=recording_id,
        scenario="unknown" if label == "normal" else f"type_{row.category}",
        weather=_WEATHER.get(_decoded(row, "weather"), "unknown"),
        light=_LIGHT.get(_decoded(row, "light"), "unknown"),
        scene=_SCENE.get(_decoded(row, "scenes"), "unknown"),
        description=row.values.get("texts") or None,
        cause=row.values.get("causes") or None,
        prevention=row.values.get("measures") or None,
    )


def _numbers(row: AccidentRow) -> tuple[bool, dict[str, int | None]]:
    """Whether an accident occurred, and the frame numbers `start`, `crash`, `end` and `total`.

    Raises:
        ValueError: one of them is none, or a column that is read holds a formula.
    """
    formulas = [_NAMES[name][0] for name, value in row.values.items() if value.startswith("=")]
    if formulas:
        raise ValueError(f"a formula under {', '.join(formulas)}; formulas are not evaluated, give values")
    occurred = whole_number(row.values["occurred"])
    if occurred not in ("0", "1"):
        raise ValueError(f"whether an accident occurred: {row.values['occurred']!r} is neither 0 nor 1")
    frames: dict[str, int | None] = {}
    for name in ("start", "crash", "end", "total"):
        text = row.values[name]
        if occurred == "0" and name != "total" and text in _NO_FRAME:
            frames[name] = None
            continue
        number = whole_number(text)
        if number is None:
            raise ValueError(f"{_NAMES[name][0]}: {text!r} is no frame number")
        frames[name] = int(number)
    return occurred == "1", frames


def _label_and_times(frames: Mapping[str, int | None], occurred: bool, fps: float) -> tuple[Label, Times, str]:
    """The third is what is wrong with the order, or nothing."""
    start, crash, end, total = frames["start"], frames["crash"], frames["end"], frames["total"]
    said = f"t_ai {start}, t_co {crash}, t_ae {end}, total {total}"
    if occurred:
        assert start is not None and crash is not None and end is not None and total is not None
        if not start < crash <= end <= total:
            return "crash", Times(), f"{said} break t_ai < t_co <= t_ae <= total"
        end_s = end / fps if end > crash else None
        return "crash", Times(pre_crash_start_s=start / fps, crash_start_s=crash / fps, crash_end_s=end_s), ""
    marked = [frame for frame in (start, crash, end, total) if frame is not None]
    if marked != sorted(marked):
        return "near_miss", Times(), f"{said} are out of order"
    if start is None and crash is None and end is None:
        return "normal", Times(), ""
    pre_crash_s, event_s = (None if frame is None else frame / fps for frame in (start, crash))
    return "near_miss", Times(pre_crash_start_s=pre_crash_s, event_s=event_s), ""


def _decoded(row: AccidentRow, name: str) -> str:
    """What a code says; a word in its place is taken as it is."""
    value = row.values.get(name, "")
    number, legend = whole_number(value), row.legend[name]
    if number is None:
        return value.casefold()
    return legend[int(number) - 1] if 1 <= int(number) <= len(legend) else ""


def _plain(text: str) -> str:
    """Without the marks of a tokenizer, non-breaking and repeated blanks."""
    return " ".join(text.replace("[CLS]", " ").replace("[SEP]", " ").split())


def _short_name(title: str) -> str | None:
    """Our name of a column: upper or lower case, blanks, and what stands in brackets do not matter."""
    bare = re.split(r"[\[(\d]", _plain(title).casefold())[0].strip()
    return next((name for name, titles in _NAMES.items() if bare in titles), None)
