"""Reads the CarCrashDataset (CCD, arXiv 2008.00334): clips of 50 frames at 10 frames a second, cut from YouTube videos.

`videos/Crash-1500/000001.mp4` with one line each in `Crash-1500.txt`, and `videos/Normal/000001.mp4` without any
annotation (from BDD100K). A crash starts at the first frame that is labelled 1; its end is not annotated, nor is the
first sign of the hazard. Weather `Normal` says neither sun nor fog and is taken as unknown.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.lines import MAX_LINE_BYTES, read_lines
from hazardline.ingest.place import Place
from hazardline.native import Light, Times, Weather

FPS = 10
NUM_FRAMES = 50
_NAME = "Crash-1500.txt"
_ANNOTATIONS = (_NAME, f"videos/{_NAME}")
_LINE = re.compile(
    r'(?P<name>\d{1,6})(?:\.mp4)?,"?\[(?P<labels>[01,]*)\]"?,(?P<start>\d+),(?P<recording>[\w-]{1,64}),'
    r"(?P<timing>\w*),(?P<weather>\w*),(?P<ego>\w*)",
    re.ASCII,
)
_EXPECTED = "expected name,[50 labels],start frame,YouTube id,timing,weather,ego involved"
_WEATHER: Mapping[str, Weather] = {"rainy": "rainy", "snowy": "snowy"}
_LIGHT: Mapping[str, Light] = {"day": "day", "night": "night"}
_INVOLVED: Mapping[str, bool] = {"yes": True, "no": False}


class CcdAdapter:
    """A folder with CCD."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place of `videos` and `Crash-1500.txt`; they are read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """The crashes line by line, then the clips of normal driving as they are found."""
        path = next((path for name in _ANNOTATIONS if (path := self._place.file(name)) is not None), None)
        if path is None:
            raise UserError(f"{self._place.name}: no CCD here; expected {_NAME} and videos/{{Crash-1500,Normal}}")
        yield from _crashes(path)
        for video in self._place.find("videos/Normal/*.mp4"):
            stem = video.rsplit("/", 1)[1].removesuffix(".mp4")
            yield Candidate(origin=video, clip_id=f"ccd-normal-{stem}", video=video, label="normal", source="ccd")


def _crashes(path: Path) -> Iterator[Candidate | Problem]:
    for number, line in read_lines(path, "CCD's annotations, one line a clip"):
        origin = f"{_NAME} line {number}"
        if line is None:
            yield Problem(origin, "", "bad_annotation", f"{origin}: longer than {MAX_LINE_BYTES} bytes")
            continue
        text = "".join(line.decode("utf-8", "replace").split())
        if number == 1 and "[" not in text:
            continue  # some copies begin with the names of the columns
        yield _crash(origin, text)


def _crash(origin: str, text: str) -> Candidate | Problem:
    match = _LINE.fullmatch(text)
    if match is None:
        return Problem(origin, "", "bad_annotation", shorten(f"{origin}: {text[:80]!r}; {_EXPECTED}"))
    stem = match["name"].zfill(6)
    clip_id, video = f"ccd-crash-{stem}", f"videos/Crash-1500/{stem}.mp4"
    labels = match["labels"].split(",")
    if len(labels) != NUM_FRAMES or "" in labels:
        return Problem(clip_id, video, "bad_annotation", f"{origin}: {len(labels)} labels, expected {NUM_FRAMES}")
    if "1" not in labels:
        return Problem(clip_id, video, "bad_annotation", f"{origin}: no frame of a crash is labelled 1")
    return Candidate(
        origin=origin,
        clip_id=clip_id,
        video=video,
        label="crash",
        source="ccd",
        times=Times(crash_start_s=labels.index("1") / FPS),
        recording_id=recordings.youtube(match["recording"]),
        weather=_WEATHER.get(match["weather"].casefold(), "unknown"),
        light=_LIGHT.get(match["timing"].casefold(), "unknown"),
        ego_involved=_INVOLVED.get(match["ego"].casefold()),
    )
