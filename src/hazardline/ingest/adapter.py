"""The seam between a data set's own layout and the scenes table: every layout becomes a stream of candidates.

An adapter reads annotations only. It opens no video: probing, decoding, hashing and the checks are the same for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from hazardline.native import Label, Light, Scene, Times, Weather

Reason = Literal[
    "unreadable",
    "truncated",
    "no_video_stream",
    "zero_duration",
    "inconsistent_duration",
    "times_outside_clip",
    "times_out_of_order",
    "duplicate_id",
    "duplicate_bytes",
    "path_outside_root",
    "missing_file",
    "bad_annotation",
]
"""Why a clip is in quarantine: a fixed list, so that counts can be compared between data sets."""

DETAIL_LENGTH = 400


@dataclass(frozen=True)
class Candidate:
    """A clip as its data set annotates it; nothing of it is proven yet."""

    origin: str
    """Where the annotation stands, for messages: `manifest.jsonl line 7`."""
    clip_id: str
    video: str
    """Path below the root of the data set, as written there."""
    label: Label
    source: str
    times: Times = field(default_factory=Times)
    pair_id: str | None = None
    recording_id: str | None = None
    scenario: str = "unknown"
    weather: Weather = "unknown"
    light: Light = "unknown"
    scene: Scene = "unknown"
    accident_type: str | None = None
    ego_involved: bool | None = None
    description: str | None = None
    cause: str | None = None
    prevention: str | None = None
    still: str | None = None
    """Of a simulated image: JSON of `hazardline.native.StillTruth`."""


@dataclass(frozen=True)
class Problem:
    """A clip that cannot be used, and why: one row of the quarantine table."""

    clip_id: str
    video: str
    reason: Reason
    detail: str


class Adapter(Protocol):
    """Reads one layout."""

    @property
    def root(self) -> Path:
        """The folder that every video must lie in."""

    def candidates(self) -> Iterator[Candidate | Problem]:
        """All clips in the order of the data set; an annotation that cannot be understood is a `Problem`.

        Raises:
            hazardline.errors.UserError: the data set as a whole cannot be read.
        """


def shorten(text: str) -> str:
    """One line of at most `DETAIL_LENGTH` printable characters: what comes from outside is shown, not trusted."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 4] + " ..."
