"""The seam between a data set's own layout and the scenes table: every layout becomes a stream of candidates.

An adapter reads annotations only. It opens no video: probing, decoding, hashing and the checks are the same for all.
It holds no more than one annotation file's rows at a time, so that a million of them need no more memory than a few.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hazardline.ingest.config import SourceConfig
from hazardline.ingest.place import Place
from hazardline.ingest.reason import Reason
from hazardline.native import Label, Light, Scene, Times, Weather
from hazardline.tasks import Task

DETAIL_LENGTH = 400


@dataclass(frozen=True)
class PublishedPair:
    """A question and its answer as the data set itself gives them, word for word."""

    task: Task
    question: str
    answer: str


@dataclass(frozen=True)
class Candidate:
    """A clip as its data set annotates it; nothing of it is proven yet."""

    origin: str
    """Where the annotation stands, for messages: `manifest.jsonl line 7`."""
    clip_id: str
    video: str
    """Path below the root of the data set, as written there: a video, an image, or a folder of numbered frames."""
    label: Label
    source: str
    times: Times = field(default_factory=Times)
    fps: float | None = None
    """Rate of a folder of frames; a video says its own."""
    content: bytes | None = None
    """The file itself, where the annotation carries it (HazardQA's tables); `video` is then its name."""
    pair_id: str | None = None
    recording_id: str | None = None
    """The long recording that the clip was cut from (a YouTube video), named by `hazardline.recordings`."""
    channel_id: str | None = None
    """Who filmed or uploaded it."""
    location: str | None = None
    """Where it was filmed, as coarse as a split by geography needs it: a city or a country."""
    published_split: Literal["train", "validation", "test"] | None = None
    """The split that the data set itself puts the clip into."""
    scenario: str = "unknown"
    weather: Weather = "unknown"
    light: Light = "unknown"
    scene: Scene = "unknown"
    accident_type: str | None = None
    ego_involved: bool | None = None
    agents: tuple[str, ...] = ()
    """Kinds of road users that the annotation knows: car, truck, bus, pedestrian, cyclist, motorcycle, animal ..."""
    description: str | None = None
    cause: str | None = None
    prevention: str | None = None
    still: str | None = None
    """Of a simulated image: JSON of `hazardline.native.StillTruth`."""
    classification: str | None = None
    """Of an image: HazardNet's four fields as `hazardline.hazardnet.format_classification` writes them."""
    pairs: tuple[PublishedPair, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A clip that cannot be used, and why: one row of the quarantine table."""

    clip_id: str
    video: str
    reason: Reason
    detail: str


class Adapter(Protocol):
    """Reads one layout."""

    def candidates(self) -> Iterator[Candidate | Problem]:
        """All clips in the order of the data set; an annotation that cannot be understood is a `Problem`.

        Raises:
            hazardline.errors.UserError: the data set as a whole cannot be read.
        """


class AdapterFactory(Protocol):
    """An adapter's class."""

    def __call__(self, place: Place, config: SourceConfig) -> Adapter:
        """Over a place, with the recipe's settings for this source."""


def shorten(text: str) -> str:
    """One line of at most `DETAIL_LENGTH` printable characters: what comes from outside is shown, not trusted."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 4] + " ..."
