"""Reads the re-annotations of BADAS-Open (arXiv 2510.14876): what people saw in test clips of DAD, DADA-2000 and DoTA.

Three tables, `{dad,dada2000_small,dota}_test_concensus.csv`; one of them is enough. They name videos (`000456.mp4`,
`10_068.mp4`, `0RJPQ_97dcs_003475.mp4`) that the three data sets hold or that one makes of their frames; these are
looked up by name among the files that match `ingest.videos`. `Collision` is a crash that starts at Time-of-collision,
`Near-collision` a near miss with that as its moment; Time-of-alert is the first sign. Ends are not annotated, and there
is no normal driving. `Nexar-vehicle-involved` is whether the filming vehicle takes part; where another column
contradicts it, it is unknown. Rows that the article leaves out of its test are clips like others here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import Place
from hazardline.ingest.rows import read_rows, seconds
from hazardline.native import Label, Times


@dataclass(frozen=True)
class _Table:
    name: str
    short: str
    source: str


_TABLES = (
    _Table("dad_test_concensus.csv", "dad", "BADAS-DAD"),
    _Table("dada2000_small_test_concensus.csv", "dada", "BADAS-DADA-2000"),
    _Table("dota_test_concensus.csv", "dota", "BADAS-DoTA"),
)
_NEEDED = ("id", "Event-type", "Nexar-vehicle-involved", "Time-of-alert", "Time-of-collision", "article_category")
_LABELS: Mapping[str, Label] = {"collision": "crash", "near-collision": "near_miss"}
_OBJECTS: Mapping[str, str] = {
    "motorbike": "motorcycle",
    "truck": "truck",
    "cyclist": "cyclist",
    "pedestrian": "pedestrian",
}


class BadasAdapter:
    """A folder with BADAS-Open's tables and the videos that they are about."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place of the tables; they are read by `candidates`."""
        self._place, self._videos = place, config.videos

    def candidates(self) -> Iterator[Candidate | Problem]:
        """The rows of the tables that are there."""
        tables = [(table, path) for table in _TABLES if (path := self._place.file(table.name)) is not None]
        if not tables:
            names = ", ".join(table.name for table in _TABLES)
            raise UserError(f"{self._place.name}: no BADAS here; expected one or more of {names}, and their videos")
        places = self._places()
        for table, path in tables:
            for origin, row in read_rows(path, table.name, _NEEDED, "a table of BADAS-Open"):
                yield _candidate(table, origin, row, places)

    def _places(self) -> dict[str, str]:
        """Path below the root of each video by its name; an empty text where several have that name."""
        places: dict[str, str] = {}
        for path in self._place.find(self._videos):
            name = path.rsplit("/", 1)[-1]
            places[name] = "" if name in places else path
        return places


def _candidate(table: _Table, origin: str, row: Mapping[str, str], places: Mapping[str, str]) -> Candidate | Problem:
    name = row["id"]
    stem = name.removesuffix(".mp4")
    if not re.fullmatch(r"[\w-]{1,80}", stem, re.ASCII):
        return Problem(origin, "", "bad_annotation", shorten(f"{origin}: id {name!r} is not the name of a video"))
    clip_id, video = f"badas-{table.short}-{stem}", places.get(f"{stem}.mp4", f"{stem}.mp4")
    label = _LABELS.get(row["Event-type"].casefold())
    if label is None:
        wrong = f"Event-type {row['Event-type']!r} is neither Collision nor Near-collision"
        return Problem(clip_id, video, "bad_annotation", shorten(f"{origin}: {wrong}"))
    if not video:
        detail = f"{origin}: several videos are named {stem}.mp4; narrow ingest.videos to those that the table is about"
        return Problem(clip_id, f"{stem}.mp4", "bad_annotation", detail)
    try:
        alert_s, event_s = seconds(row["Time-of-alert"]), seconds(row["Time-of-collision"])
    except ValueError as error:
        return Problem(clip_id, video, "bad_annotation", shorten(f"{origin}: not a time in seconds: {error}"))
    if event_s is None:
        return Problem(clip_id, video, "bad_annotation", f"{origin}: no Time-of-collision")
    is_crash = label == "crash"
    return Candidate(
        origin=origin,
        clip_id=clip_id,
        video=video,
        label=label,
        source=table.source,
        times=Times(
            pre_crash_start_s=alert_s,
            crash_start_s=event_s if is_crash else None,
            event_s=None if is_crash else event_s,
        ),
        recording_id=_recording_of(table, stem),
        published_split=_split_of(row["article_category"]),
        ego_involved=_ego_involved(row),
        agents=_agents(row["article_category"]),
    )


def _recording_of(table: _Table, stem: str) -> str | None:
    """As the adapters of DoTA and DADA name it; DAD's numbers repeat between its folders and say nothing."""
    if table.short == "dota":
        return recordings.youtube(stem[:-7]) if re.search(r"_\d{6}$", stem, re.ASCII) else None
    key = re.fullmatch(r"(\d{1,4})_(\d{1,6})", stem, re.ASCII) if table.short == "dada" else None
    return recordings.dada(int(key[1]), int(key[2])) if key else None


def _split_of(category: str) -> Literal["test"] | None:
    return None if "not in test split" in category else "test"


def _ego_involved(row: Mapping[str, str]) -> bool | None:
    said = {"yes": True, "no": False}.get(row["Nexar-vehicle-involved"].casefold())
    by_article = {"pos-ego": True, "pos-not-ego": False}.get(row["article_category"])
    contradicted = bool(row.get("ego_discrepancy")) or (by_article is not None and by_article != said)
    return None if contradicted else said


def _agents(category: str) -> tuple[str, ...]:
    """The road user that the article's `excluded (object=...)` names."""
    named = re.search(r"object=(\w+)", category)
    kind = _OBJECTS.get(named[1]) if named else None
    return (kind,) if kind else ()
