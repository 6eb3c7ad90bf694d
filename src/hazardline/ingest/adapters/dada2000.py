"""Reads DADA-2000 (arXiv 1904.12634) as its authors released it.

Frames, not videos: `DADA_dataset/1/001/images/0001.png`, 30 a second, with one table of annotations beside it, as a
spreadsheet or with commas. A clip's key is (type, video). MM-AU holds the same clips with the same columns: the
recording is named alike in both (`hazardline.recordings`), so that a split never parts two copies.
"""

from collections.abc import Iterator

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.accident_rows import DADA_FPS, candidate_of, read_accident_csv, read_accident_sheet
from hazardline.ingest.adapter import Candidate, Problem
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import Place

SHEETS = ("full_sequence_annotations.xlsx", "full_anno.csv", "full_anno.xlsx", "dada_text_annotations.xlsx")
"""Names under which the table is passed on; the first that is there is read."""
SOURCE = "DADA-2000"
_PAGE = "Sheet1"


class Dada2000Adapter:
    """A folder with DADA-2000."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place of `DADA_dataset` and of the table; they are read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One a row of the table, in its order."""
        path = next((path for name in SHEETS if (path := self._place.file(name)) is not None), None)
        if path is None:
            names = ", ".join(SHEETS)
            raise UserError(
                f"{self._place.name}: no DADA-2000 here; expected DADA_dataset and its table of annotations beside it, "
                f"named as one of {names}"
            )
        rows = read_accident_csv(path) if path.suffix == ".csv" else read_accident_sheet(path, _PAGE)
        for row in rows:
            if isinstance(row, Problem):
                yield row
                continue
            key = f"{row.category}-{row.number:03}"
            video = f"DADA_dataset/{row.category}/{row.number:03}/images"
            recording_id = recordings.dada(row.category, row.number)
            yield candidate_of(row, f"dada2000-{key}", video, DADA_FPS, SOURCE, recording_id)
