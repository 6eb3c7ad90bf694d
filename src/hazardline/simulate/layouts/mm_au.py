"""A small MM-AU from simulated clips: CAP and DADA below one root, each with its sheet, and CAP's frame rates.

Pairs go to the two parts in turns, and CAP's clips have 10 or 30 frames a second in turns, so that neither the part nor
the rate gives a label away. `fps.csv` says which; MM-AU itself does not.
"""

from collections.abc import Sequence
from pathlib import Path

from hazardline.files import write_atomic
from hazardline.simulate.layouts.dada import (
    DADA_FPS,
    HEADER_AFTER,
    HEADER_BEFORE,
    Cell,
    Numbering,
    Row,
    write_clip,
    write_dada_sheet,
)
from hazardline.simulate.layouts.native_clips import read_clips
from hazardline.simulate.layouts.xls import xls_bytes

CAP_FRAMES = ("abnormal start frame", "abnormal end frame", "accident frame", "total frames")
CAP_FPS = (10, 30)


def write(clips: Path, out: Path) -> None:
    """Lay out all clips of a native folder; `out` exists and is empty.

    Raises:
        hazardline.errors.UserError: a crash lacks one of its times.
    """
    numbering = Numbering()
    cap: list[Row] = []
    dada: list[Row] = []
    rates = ["video,fps"]
    for index, clip in enumerate(read_clips(clips)):
        category, number = numbering.next(clip)
        if index // 2 % 2:
            folder = out / f"DADA-DATA/{category}/{number:03}/images"
            dada.append(write_clip(clips, clip, folder, "{:04}.png", DADA_FPS, category, number))
            continue
        number, fps = len(cap) + 1, CAP_FPS[index // 4 % 2]
        group = "1-10" if category <= 10 else "11-62"
        folder = out / f"CAP-DATA/{group}/{category}/{number:06}/images"
        cap.append(write_clip(clips, clip, folder, "{:06}.jpg", fps, category, number))
        rates.append(f"{number:06},{fps}")
    write_atomic(out / "cap_text_annotations.xls", xls_bytes("annotation file", _cap_sheet(cap)))
    write_atomic(out / "fps.csv", "".join(line + "\n" for line in rates).encode())
    write_dada_sheet(out / "dada_text_annotations.xlsx", dada)


def _cap_sheet(rows: Sequence[Row]) -> list[list[Cell]]:
    """CAP's columns: the accident frame behind the abnormal end frame, the intervals as values."""
    cells: list[list[Cell]] = [[*HEADER_BEFORE, *CAP_FRAMES, *HEADER_AFTER]]
    for row in rows:
        before: list[Cell] = [row.number, row.weather, row.light, row.scene, 1, row.category, row.occurred]
        marked = row.start, row.end, row.crash, row.total
        cells.append([*before, *marked, *_intervals(row), row.texts, row.causes, row.measures])
    return cells


def _intervals(row: Row) -> list[int | None]:
    if row.start is None or row.crash is None or row.end is None:
        return [None] * 5
    return [row.start, row.crash - row.start, row.end - row.start, row.end - row.crash, row.total - row.end]
