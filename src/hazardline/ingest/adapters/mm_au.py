"""Reads MM-AU (arXiv 2403.00436): its parts CAP and DADA, both below one root, or one of them.

Frames, not videos: `CAP-DATA/1-10/1/001537/images/000001.jpg` and `DADA-DATA/1/001/images/0001.png`. Annotations are
`cap_text_annotations.xls` and `dada_text_annotations.xlsx`; where one of them is missing, `video_metadata.json` is read
for its part. The ArA csv is not read: it has a choice of one of five reasons for accidents of the same clips, which no
suite here asks. Its `video` column has lost its leading zeros; clips are matched by number, so that a table of rates
that was made from it does no harm.

DADA has 30 frames a second. CAP has 10 for two clips of three and 30 for the others, and nothing in the release says
which: the rate of each clip comes from a table that the user gives (`ingest.fps_manifest`); a clip that is not in it is
not used. Seconds are frame numbers divided by the rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.accident_rows import (
    DADA_FPS,
    AccidentRow,
    candidate_of,
    read_accident_entry,
    read_accident_sheet,
)
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.frame_rates import FrameRates
from hazardline.ingest.json_items import read_members
from hazardline.ingest.place import Place

_METADATA = "video_metadata.json"


@dataclass(frozen=True)
class _Part:
    name: str
    sheets: tuple[str, ...]
    """Names of the annotation file; a part may have been saved anew as .xlsx."""
    page: str
    source: str
    digits: int
    """Of a clip's number."""


CAP = _Part("cap", ("cap_text_annotations.xls", "cap_text_annotations.xlsx"), "annotation file", "MM-AU-CAP", 6)
DADA = _Part("dada", ("dada_text_annotations.xlsx", "dada_text_annotations.xls"), "Sheet1", "MM-AU-DADA", 3)
PARTS = (CAP, DADA)


class MmAuAdapter:
    """A folder with MM-AU."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place of the annotation files and of CAP-DATA and DADA-DATA; they are read by `candidates`."""
        self._place, self._manifest = place, config.fps_manifest
        self._rates: FrameRates | None = None
        self._folders: dict[str, str] | None = None

    def candidates(self) -> Iterator[Candidate | Problem]:
        """CAP's rows, then DADA's, then those of `video_metadata.json` for a part without a sheet."""
        without: list[_Part] = []
        for part in PARTS:
            path = next((path for name in part.sheets if (path := self._place.file(name)) is not None), None)
            if path is None:
                without.append(part)
                continue
            for row in read_accident_sheet(path, part.page):
                yield row if isinstance(row, Problem) else self._candidate(part, row)
        metadata = self._place.file(_METADATA) if without else None
        if metadata is not None:
            yield from self._from_metadata(metadata, without)
        elif len(without) == len(PARTS):
            names = ", ".join([*(part.sheets[0] for part in PARTS), _METADATA])
            raise UserError(f"{self._place.name}: no MM-AU here; expected one of {names}, and CAP-DATA or DADA-DATA")

    def _from_metadata(self, path: Path, parts: list[_Part]) -> Iterator[Candidate | Problem]:
        for item in read_members(path, "MM-AU's video_metadata.json"):
            origin = f"{_METADATA} {shorten(item.key) or f'entry {item.number}'}"
            if item.fault is not None:
                yield Problem(origin, "", "bad_annotation", shorten(f"{origin}: {item.fault}"))
                continue
            row = read_accident_entry(origin, item.value)
            if isinstance(row, Problem):
                yield row
                continue
            part = _part_of(row, str(item.value.get("video_name", "")))
            if part is None:
                wanted = "expected a number of 6 digits (CAP) or 3 (DADA)"
                yield Problem(origin, "", "bad_annotation", f"{origin}: id {row.values['video']!r}; {wanted}")
            elif part in parts:
                yield self._candidate(part, row)

    def _candidate(self, part: _Part, row: AccidentRow) -> Candidate | Problem:
        number = f"{row.number:0{part.digits}}"
        clip_id = f"{part.name}-{row.category}-{number}"
        if part is DADA:
            video = f"DADA-DATA/{row.category}/{number}/images"
            recording_id = recordings.dada(row.category, row.number)
            return candidate_of(row, clip_id, video, DADA_FPS, part.source, recording_id)
        video = f"{self._cap_folder(row.category)}/{number}/images"
        fps = self._cap_rates().of(row.category, row.number)
        if fps is None:
            which = f"type {row.category}, video {number}"
            detail = f"{row.origin}: {self._manifest} gives no rate, or several, for {which}"
            return Problem(clip_id, video, "unknown_rate", detail)
        return candidate_of(row, clip_id, video, fps, part.source, recordings.cap(row.category, row.number))

    def _cap_rates(self) -> FrameRates:
        if self._rates is None:
            path = self._place.file(self._manifest)
            if path is None:
                raise UserError(
                    f"{self._place.name}: no {self._manifest} here. CAP's clips have 10 or 30 frames a second and its "
                    "sheet does not say which; a guess would put the times of a clip wrong by a factor of three. Write "
                    "the rate of each clip as a table `video,fps` or `type,video,fps` (a line: 001537,10) to "
                    f"{self._manifest} in that folder, or name your table below it in ingest.fps_manifest"
                )
            self._rates = FrameRates(path, self._manifest)
        return self._rates

    def _cap_folder(self, category: int) -> str:
        """CAP-DATA groups its categories into folders (`1-10`); which, is seen from the files."""
        if self._folders is None:
            names = self._place.find("CAP-DATA/**/images/000001.*")
            folders = (name.rsplit("/", 3)[0] for name in names)
            self._folders = {folder.rsplit("/", 1)[1]: folder for folder in folders}
        return self._folders.get(str(category), f"CAP-DATA/{category}")


def _part_of(row: AccidentRow, video_name: str) -> _Part | None:
    """CAP or DADA: as the name of the video begins, else by the digits of its number."""
    for part in PARTS:
        if video_name.casefold().startswith(part.name):
            return part
    return next((part for part in PARTS if part.digits == row.digits), None)
