"""Reads Nexar's collision prediction data set (arXiv 2503.03848), in the layout of the challenge or of the hub.

Challenge: `train.csv` (id, time_of_event, time_of_alert, target) and `train/00822.mp4`. Hub: one folder each for
`train/positive` and `train/negative`, with a `metadata.csv` (file_name, time_of_event, time_of_alert, light_conditions,
weather, scene). A positive is a collision or a near collision and the data set does not say which; all are taken as
crashes, and the times as its first sign and its beginning. The end of a crash is not annotated.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hazardline.errors import UserError
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import Place
from hazardline.ingest.rows import read_rows, seconds, whole_number
from hazardline.native import Label, Light, Scene, Times, Weather

_CHALLENGE = "train.csv"
_HUB = ("train/positive/metadata.csv", "train/negative/metadata.csv")
_WHAT = "a table of Nexar's"
_ID_LENGTH = 5
_WEATHER: Mapping[str, Weather] = {"clear": "sunny", "rain": "rainy", "snow": "snowy", "fog": "foggy"}
_LIGHT: Mapping[str, Light] = {"normal": "day", "bright": "day", "dark": "night"}
_SCENE: Mapping[str, Scene] = {"urban": "urban", "sub-urban": "urban", "rural": "rural", "highway": "highway"}


class NexarAdapter:
    """A folder with Nexar's data."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place that holds `train`; the tables are read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """Rows of `train.csv` if there is one, else of the hub's tables."""
        challenge = self._place.file(_CHALLENGE)
        if challenge is not None:
            yield from self._challenge(challenge)
            return
        tables = [(name, path) for name in _HUB if (path := self._place.file(name)) is not None]
        if not tables:
            raise UserError(f"{self._place.name}: no Nexar data here; expected {_CHALLENGE}, or {' and '.join(_HUB)}")
        for name, path in tables:
            yield from self._hub(name, path)

    def _challenge(self, path: Path) -> Iterator[Candidate | Problem]:
        needed = ("id", "time_of_event", "time_of_alert", "target")
        for origin, row in read_rows(path, _CHALLENGE, needed, _WHAT):
            number = whole_number(row["id"])
            if number is None:
                yield Problem(origin, "", "bad_annotation", shorten(f"{origin}: id {row['id']!r} is not a number"))
                continue
            stem = number.zfill(_ID_LENGTH)  # a spreadsheet turns 00822 into 822, a data frame into 822.0
            target = whole_number(row["target"])
            if target not in ("0", "1"):
                detail = shorten(f"{origin}: target {row['target']!r} is neither 0 nor 1")
                yield Problem(f"nexar-{stem}", f"train/{stem}.mp4", "bad_annotation", detail)
                continue
            yield _candidate(origin, stem, f"train/{stem}.mp4", target == "1", row)

    def _hub(self, name: str, path: Path) -> Iterator[Candidate | Problem]:
        folder = name.rsplit("/", 1)[0]
        for origin, row in read_rows(path, name, ("file_name", "time_of_event", "time_of_alert"), _WHAT):
            if not row["file_name"]:
                yield Problem(origin, "", "bad_annotation", f"{origin}: file_name is empty")
                continue
            stem = Path(row["file_name"]).stem
            yield _candidate(origin, stem, f"{folder}/{row['file_name']}", folder.endswith("positive"), row)


def _candidate(origin: str, stem: str, video: str, positive: bool, row: Mapping[str, str]) -> Candidate | Problem:
    clip_id = f"nexar-{stem}"
    label: Label = "crash" if positive else "normal"
    try:
        event_s, alert_s = seconds(row["time_of_event"]), seconds(row["time_of_alert"])
    except ValueError as error:
        return Problem(clip_id, video, "bad_annotation", shorten(f"{origin}: not a time in seconds: {error}"))
    if positive and event_s is None:
        return Problem(clip_id, video, "bad_annotation", f"{origin}: a positive without time_of_event")
    if not positive and (event_s is not None or alert_s is not None):
        return Problem(clip_id, video, "bad_annotation", f"{origin}: a negative with times")
    return Candidate(
        origin=origin,
        clip_id=clip_id,
        video=video,
        label=label,
        source="nexar",
        times=Times(pre_crash_start_s=alert_s, crash_start_s=event_s),
        weather=_WEATHER.get(row.get("weather", "").lower(), "unknown"),
        light=_LIGHT.get(row.get("light_conditions", "").lower(), "unknown"),
        scene=_SCENE.get(row.get("scene", "").lower(), "unknown"),
    )
