"""Reads the native layout: `manifest.jsonl` and the videos it names."""

import json
from collections.abc import Iterator
from pathlib import Path

from hazardline.errors import UserError
from hazardline.files import canonical_json
from hazardline.ingest.adapter import Candidate, Problem, shorten
from hazardline.ingest.lines import MAX_LINE_BYTES, read_lines
from hazardline.native import MANIFEST_NAME, NativeClip

_SHORT_BYTES = 1 << 16


class NativeAdapter:
    """A folder with a native manifest."""

    def __init__(self, root: Path) -> None:
        """Take the folder; the manifest is read by `candidates`."""
        self._root = root

    @property
    def root(self) -> Path:
        """The folder of the manifest."""
        return self._root

    def candidates(self) -> Iterator[Candidate | Problem]:
        """One a line, read one at a time: ground truth is checked and then dropped."""
        path, count = self._root / MANIFEST_NAME, 0
        for number, line in read_lines(path, "a native manifest, one JSON document a line (docs/native-layout.md)"):
            count += 1
            yield _candidate(f"{MANIFEST_NAME} line {number}", line)
        if not count:
            raise UserError(f"{path}: is empty; expected one JSON document a line (docs/native-layout.md)")


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
        pair_id=clip.pair_id,
        recording_id=clip.recording_id,
        scenario=clip.scenario,
        weather=clip.weather,
        light=clip.light,
        scene=clip.scene,
        accident_type=clip.accident_type,
        ego_involved=clip.ego_involved,
        description=clip.description,
        cause=clip.cause,
        prevention=clip.prevention,
        still=None if clip.still is None else canonical_json(clip.still.data()).decode(),
    )


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
