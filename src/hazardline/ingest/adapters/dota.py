"""Reads Detection of Traffic Anomaly (DoTA, arXiv 2004.03044): frames at 10 a second, cut from YouTube videos.

`frames/<clip>/images/000000.jpg`, `metadata_train.json` and `metadata_val.json` (one entry a clip), and where it is
there `annotations/<clip>.json` with the road users of each frame. A clip is named by its video's YouTube id and six
digits; an id may itself hold `_` and `-`.

Every clip shows an anomaly, and by the paper an anomaly starts when an accident can no longer be avoided and ends when
all that take part have left the picture or stand still. So a clip is labelled a crash, and the anomaly's window is the
crash's. That is not the first contact: where BADAS looked again at 598 of the clips, it saw the collision 1.0 s after
the anomaly's start (median; nine of ten between 0.2 and 2.7 s) and the first sign 0.6 s before it, and called 36 of
them near misses. Pre-crash therefore stays open; who needs moments of contact reads these clips with `badas`.

Offsets are passed on as they stand, `anomaly_end` being the frame after the last. Of the 4,677 published clips one
(gXezhrOijmQ_004598) ends its anomaly behind its last frame; ingest finds that when it knows the clip's length.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from hazardline import recordings
from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.json_items import read_members
from hazardline.ingest.place import Place
from hazardline.native import Light, Times

FPS = 10.0
_CLIP = re.compile(r"([A-Za-z0-9_-]{1,64})_\d{6}")
_FILES: Mapping[str, Literal["train", "validation"]] = {
    "metadata_train.json": "train",
    "metadata_val.json": "validation",
}
_NUMBERS = ("anomaly_start", "anomaly_end")
_AGENTS: Mapping[str, str] = {
    "person": "pedestrian",
    "pedestrian": "pedestrian",
    "rider": "cyclist",
    "bike": "cyclist",
    "bicycle": "cyclist",
    "motor": "motorcycle",
    "motorbike": "motorcycle",
    "motorcycle": "motorcycle",
    "car": "car",
    "truck": "truck",
    "bus": "bus",
}
_LABELS = ("labels", "lables")


class DotaAdapter:
    """A folder with DoTA."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place of `frames` and the metadata; they are read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """The clips of the training file, then those of the validation file."""
        files = [(name, path) for name in _FILES if (path := self._place.file(name)) is not None]
        if not files:
            raise UserError(f"{self._place.name}: no DoTA here; expected {' and '.join(_FILES)}, and frames")
        for name, path in files:
            for item in read_members(path, "DoTA's metadata, one entry a clip"):
                origin = f"{name} {shorten(item.key) or f'entry {item.number}'}"
                if item.fault is not None:
                    yield Problem(origin, "", "bad_annotation", shorten(f"{origin}: {item.fault}"))
                else:
                    yield self._candidate(origin, name, item.key, item.value)

    def _candidate(self, origin: str, file: str, clip: str, entry: Any) -> Candidate | Problem:
        match = _CLIP.fullmatch(clip)
        if match is None:
            detail = f"{origin}: expected a YouTube id, _ and six digits as the name of a clip"
            return Problem(origin, "", "bad_annotation", shorten(detail))
        clip_id, video = f"dota-{clip}", f"frames/{clip}/images"
        try:
            start, end, kind = _window_and_class(entry)
            light, agents = self._per_frame(clip)
        except (ValueError, UserError) as error:
            return Problem(clip_id, video, "bad_annotation", shorten(f"{origin}: {error}"))
        who, _, what = kind.partition(": ")
        is_known = what not in ("", "unknown")
        return Candidate(
            origin=origin,
            clip_id=clip_id,
            video=video,
            fps=FPS,
            label="crash",
            source="dota",
            times=Times(crash_start_s=start / FPS, crash_end_s=end / FPS),
            recording_id=recordings.youtube(match[1]),
            published_split=_FILES[file],
            scenario=what if is_known else "unknown",
            light=light,
            accident_type=what.replace("_", " ") if is_known else None,
            ego_involved={"ego": True, "other": False}.get(who),
            agents=agents,
        )

    def _per_frame(self, clip: str) -> tuple[Light, tuple[str, ...]]:
        """Light and kinds of road users as `annotations/<clip>.json` knows them; unknown and none without that file.

        Raises:
            UserError: the file is there but cannot be read.
        """
        path = self._place.file(f"annotations/{clip}.json")
        light: Light = "unknown"
        agents: set[str] = set()
        if path is not None:
            for item in read_members(path, "DoTA's annotation of a clip"):
                if item.key in _LABELS:
                    agents |= {_AGENTS.get(name.casefold(), "") for name in _categories(item.value)}
                elif item.key == "night" and isinstance(item.value, bool):
                    light = "night" if item.value else "day"
        return light, tuple(sorted(agents - {""}))


def _categories(labels: Any) -> Iterator[str]:
    """The category of every road user in every frame, as far as they are texts."""
    for frame in labels if isinstance(labels, list) else ():
        objects = frame.get("objects") if isinstance(frame, Mapping) else None
        for item in objects if isinstance(objects, list) else ():
            category = item.get("category") if isinstance(item, Mapping) else None
            if isinstance(category, str):
                yield category


def _window_and_class(entry: Any) -> tuple[int, int, str]:
    """First frame of the anomaly, the frame after its last, and its class.

    Raises:
        ValueError: one of them is missing or none.
    """
    if not isinstance(entry, Mapping):
        raise ValueError("no object with the clip's annotation")
    for name in _NUMBERS:
        if type(entry.get(name)) is not int:
            raise ValueError(f"{name} is {entry.get(name)!r}, expected a whole number of frames")
    kind = entry.get("anomaly_class")
    if not isinstance(kind, str) or not re.fullmatch(r"(ego|other): \w{1,64}", kind, re.ASCII):
        raise ValueError(f"anomaly_class is {kind!r}, expected for example 'ego: turning'")
    return entry["anomaly_start"], entry["anomaly_end"], kind
