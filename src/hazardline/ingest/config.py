"""What the ingest stage is told."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.datasets.document import DatasetName
from hazardline.documents import Document

SourceName = Literal[
    "native",
    "nexar",
    "mm_au",
    "dada2000",
    "ccd",
    "dota",
    "badas",
    "drama",
    "d2_city",
    "crashchat",
    "hazardqa",
]


class SourceConfig(Document):
    """One data set: its layout and where it lies."""

    source: SourceName = "native"
    """Layout of the data set; README names them all."""
    root: str | None = None
    """Folder of the data set, or `s3://bucket/prefix`; none takes what the simulate stage made."""
    videos: Annotated[str, Field(min_length=1)] = "**/*.mp4"
    """Where the annotation does not name its videos (D2-City, BADAS): a pattern below the root."""
    fps_manifest: Annotated[str, Field(min_length=1)] = "fps.csv"
    """For frames whose rate the data set does not say (MM-AU's CAP): a table of clip and fps below the root."""


class IngestConfig(SourceConfig):
    """Section `ingest` of a recipe."""

    also: tuple[SourceConfig, ...] = ()
    """More data sets that go into the same scenes table; each needs a root."""
    corrections: tuple[str, ...] = ()
    """Files `corrections.jsonl` of reviews (`hazardline review apply`): what they say becomes part of the version."""
    dataset: DatasetName | None = None
    """Name under which versions follow one another; none makes one of the sources and their roots."""
    max_quarantined_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The stage fails when a larger share of the clips cannot be used."""
    executor: Literal["processes", "ray"] = "processes"
    """What decodes: processes of this machine, or Ray Data on this machine or the cluster that it is joined to."""
    num_workers: Annotated[int, Field(ge=1, le=4096)] = 2
    """Clips that are decoded at a time."""
    clip_timeout_s: Annotated[float, Field(ge=5, strict=False)] = 300.0
    """A clip that takes longer to decode is quarantined as unreadable."""

    def reads_unseen(self) -> bool:
        """Objects of S3 change without a trace on this machine."""
        return any((source.root or "").startswith("s3://") for source in (self, *self.also))
