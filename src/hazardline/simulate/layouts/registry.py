"""The layouts in which simulated clips can be written, by the name that `ingest.source` gives them.

Each writer takes a folder in the native layout and an empty folder, and lays out a small true copy of a published data
set's form: to see what the form looks like, and to run the line from it.
"""

from collections.abc import Callable
from pathlib import Path

from hazardline.simulate.layouts.badas import write as write_badas
from hazardline.simulate.layouts.ccd import write as write_ccd
from hazardline.simulate.layouts.crashchat import write as write_crashchat
from hazardline.simulate.layouts.d2_city import write as write_d2_city
from hazardline.simulate.layouts.dada2000 import write as write_dada2000
from hazardline.simulate.layouts.dota import write as write_dota
from hazardline.simulate.layouts.drama import write as write_drama
from hazardline.simulate.layouts.hazardqa import write as write_hazardqa
from hazardline.simulate.layouts.mm_au import write as write_mm_au
from hazardline.simulate.layouts.nexar import write as write_nexar
from hazardline.simulate.layouts.nexar import write_hub as write_nexar_hub

WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "mm_au": write_mm_au,
    "dada2000": write_dada2000,
    "ccd": write_ccd,
    "dota": write_dota,
    "badas": write_badas,
    "nexar": write_nexar,
    "nexar_hub": write_nexar_hub,
    "d2_city": write_d2_city,
    "crashchat": write_crashchat,
    "drama": write_drama,
    "hazardqa": write_hazardqa,
}

READ_AS = {"nexar_hub": "nexar"}
"""Layouts of another name than their source's."""
