"""Reads the native layout: `manifest.jsonl` and the videos it names."""

import json
from collections.abc import Iterator

from hazardline.errors import UserError
from hazardline.files import canonical_json
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.config import SourceConfig
from hazardline.ingest.lines import MAX_LINE_BYTES, read_lines
from hazardline.ingest.place import Place
from hazardline.native import MANIFEST_NAME, NativeClip

_SHORT_BYTES = 1 << 16
_WHAT = "one JSON document a line, docs/native-layout.md"


class NativeAdapter:
    """A folder with a native manifest."""

    def __init__(self, place: Place, config: SourceConfig) -> None:
        """Take the place; the manifest is read by `candidates`."""
        self._place = place

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One a line, read one at a time: ground truth is checked and then dropped."""
        path, count = self._place.file(MANIFEST_NAME), 0
        if path is None:
            raise UserError(f"{self._place.name}: no {MANIFEST_NAME} here; expected a native manifest ({_WHAT})")
        for number, line in read_lines(path, f"a native manifest ({_WHAT})"):
            count += 1
            yield _candidate(f"{MANIFEST_NAME} line {number}", line)
        if not count:
            raise UserError(f"{self._place.name}: {MANIFEST_NAME} is empty; expected {_WHAT}")


def _candidate(origin: str, line: bytes | None) -> Candidate | Problem:
    if line is None:
        return Problem(origin, "", "bad_annotation", f"{origin}: longer than {MAX_LINE_BYTES} bytes")
    try:
        clip = NativeClip.parse_json(line, origin)
    except UserError as error:
        return Problem(_named(line, "clip_id") or origin, _named(line, "video"), "bad_annotation", shorten(str(error)))
    return Candidate(
        origin=origin,
        clip_id=clip.clip_id,
        video=clip.video,
        label=clip.label,
        source=clip.source,
        times=clip.times,
        fps=clip.fps,
        pair_id=clip.pair_id,
        recording_id=clip.recording_id,
        channel_id=clip.channel_id,
        location=clip.location,
        published_split=clip.published_split,
        scenario=clip.scenario,
        weather=clip.weather,
        light=clip.light,
        scene=clip.scene,
        accident_type=clip.accident_type,
        ego_involved=clip.ego_involved,
        agents=clip.agents or _agents(clip),
        description=clip.description,
        cause=clip.cause,
        prevention=clip.prevention,
        still=None if clip.still is None else canonical_json(clip.still.data()).decode(),
    )


def _agents(clip: NativeClip) -> tuple[str, ...]:
    """Kinds of the road users that the simulator put there, without the ego vehicle."""
    if clip.ground_truth is None:
        return ()
    return tuple(sorted({agent.kind for agent in clip.ground_truth.agents if agent.name != "ego"}))


def _named(line: bytes, key: str) -> str:
    """A text field of a line that is no valid clip, where it can be told."""
    if len(line) > _SHORT_BYTES:
        return ""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    found = value.get(key) if isinstance(value, dict) else None
    return shorten(found) if isinstance(found, str) else ""
