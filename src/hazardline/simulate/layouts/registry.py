"""The layouts in which simulated clips can be written, by the name that `ingest.source` gives them.

Each writer takes a folder in the native layout and an empty folder, and lays out a small true copy of a published data
set's form: to see what the form looks like, and to run the line from it.
"""

from collections.abc import Callable
from pathlib import Path

from hazardline.simulate.layouts.ccd import write as write_ccd

WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "ccd": write_ccd,
}
