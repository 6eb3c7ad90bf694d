"""A small DADA-2000 from simulated clips: `DADA_dataset/<type>/<video>/images/0001.png` and its annotation sheet."""

from pathlib import Path

from hazardline.simulate.layouts.dada import DADA_FPS, Numbering, write_clip, write_dada_sheet
from hazardline.simulate.layouts.native_clips import read_clips


def write(clips: Path, out: Path) -> None:
    """Lay out all clips of a native folder; `out` exists and is empty.

    Raises:
        hazardline.errors.UserError: a crash lacks one of its times.
    """
    numbering, rows = Numbering(), []
    for clip in read_clips(clips):
        category, number = numbering.next(clip)
        folder = out / f"DADA_dataset/{category}/{number:03}/images"
        rows.append(write_clip(clips, clip, folder, "{:04}.png", DADA_FPS, category, number))
    write_dada_sheet(out / "full_sequence_annotations.xlsx", rows)
