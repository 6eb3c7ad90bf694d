"""The layouts in which simulated clips can be written, by the name that `ingest.source` gives them.

Each writer takes a folder in the native layout and an empty folder, and lays out a small true copy of a published data
set's form: to see what the form looks like, and to run the line from it.
"""

from collections.abc import Callable
from pathlib import Path

from hazardline.simulate.layouts.badas import write as write_badas
from hazardline.simulate.layouts.ccd import write as write_ccd
from hazardline.simulate.layouts.dada2000 import write as write_dada2000
from hazardline.simulate.layouts.dota import write as write_dota
from hazardline.simulate.layouts.mm_au import write as write_mm_au

WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "mm_au": write_mm_au,
    "dada2000": write_dada2000,
    "ccd": write_ccd,
    "dota": write_dota,
    "badas": write_badas,
}
