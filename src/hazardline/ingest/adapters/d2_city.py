"""Reads D2-City (arXiv 1904.01975): dashcam videos of normal driving in Chinese cities, some with CVAT-like XML tracks.

The archive's layout is not documented, so videos are found by `ingest.videos`, a pattern below the folder. The tracks
of `videos/0000/x.mp4` are an XML file of its name anywhere below the folder: beside it, or else the one in a folder of
the same name (`labels/0000/x.xml`), or else the only one. A video without tracks is a clip without known agents.

Every clip is taken as normal driving: the data set marks no crash. Nothing of a track but its label is used.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import Place
from hazardline.ingest.row_groups import RowGroups
from hazardline.ingest.xml_tracks import TracksError, read_track_labels

_AGENTS: Mapping[str, str | None] = {
    "car": "car",
    "van": "van",
    "bus": "bus",
    "truck": "truck",
    "person": "pedestrian",
    "bicycle": "cyclist",
    "motorcycle": "motorcycle",
    "open-tricycle": "tricycle",
    "closed-tricycle": "tricycle",
    "forklift": "forklift",
    "large-block": None,
    "small-block": None,
}
"""Kind of road user of each of the twelve labels; a block is none."""


class D2CityAdapter:
    """A folder with D2-City's videos."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place and the pattern of the videos."""
        self._place, self._videos = place, config.videos

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One a video, in the order of their names, then the tracks whose video is not there."""
        count = 0
        with RowGroups() as by_stem, RowGroups() as names:
            for name in self._place.find("**/*.xml"):
                if not name.isprintable():
                    yield Problem(shorten(name), "", "bad_annotation", f"{shorten(name)!r} is no name that can be kept")
                    continue
                by_stem.add(PurePosixPath(name).stem, name)
                names.add(name, name)
            for video in self._place.find(self._videos):
                count += 1
                named_alike = by_stem.rows_of(PurePosixPath(video).stem) if video.isprintable() else []
                yield self._candidate(video, named_alike, names)
            for name, _ in names.left():
                yield Problem(shorten(name), "", "missing_file", shorten(f"{name}: belongs to no video here"))
        if not count:
            raise UserError(
                f"{self._place.name}: no video matches {self._videos!r}; set ingest.videos to a pattern below the "
                "folder, as **/*.mp4"
            )

    def _candidate(self, video: str, named_alike: list[str], unused: RowGroups) -> Candidate | Problem:
        path = PurePosixPath(video)
        clip_id = f"d2_city-{(path.parent / path.stem).as_posix().replace('/', '-')}"
        annotations = _annotations_of(path, named_alike)
        for name in annotations:
            unused.take(name)
        try:
            if len(annotations) > 1:
                raise TracksError(f"several annotations have its name: {', '.join(annotations[:3])}")
            agents = self._agents(annotations[0]) if annotations else ()
        except TracksError as error:
            return Problem(shorten(clip_id), shorten(video), "bad_annotation", shorten(f"{video}: {error}"))
        return Candidate(
            origin=annotations[0] if annotations else video,
            clip_id=clip_id,
            video=video,
            label="normal",
            source="d2_city",
            recording_id=recordings.d2_city(path.stem),
            location="China",
            agents=agents,
        )

    def _agents(self, name: str) -> tuple[str, ...]:
        path = self._place.file(name)
        if path is None:
            raise TracksError(f"{name} is gone; leave the folder as it is while it is read")
        agents = set()
        try:
            for label in read_track_labels(path):
                if label not in _AGENTS:
                    raise TracksError(f"{label!r} is none of D2-City's labels ({', '.join(_AGENTS)})")
                agents.add(_AGENTS[label])
        except TracksError as error:
            raise TracksError(f"{name}: {error}") from None
        return tuple(sorted(agent for agent in agents if agent is not None))


def _annotations_of(video: PurePosixPath, names: list[str]) -> list[str]:
    """The annotation that belongs to a video, of all that have its name; several where it cannot be told which."""
    for fits in (
        [name for name in names if PurePosixPath(name).parent == video.parent],
        [name for name in names if PurePosixPath(name).parent.name == video.parent.name],
    ):
        if len(fits) == 1:
            return fits
    return names
