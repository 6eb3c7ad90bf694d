"""What the ingest stage is told."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.documents import Document


class IngestConfig(Document):
    """Section `ingest` of a recipe."""

    source: Literal["native", "nexar"] = "native"
    """Layout of the data set: the project's own (`manifest.jsonl`), or Nexar's (`train.csv` or its hub release)."""
    root: str | None = None
    """Folder of the data set; none takes what the simulate stage made."""
    max_quarantined_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The stage fails when a larger share of the clips cannot be used."""
    num_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that decode."""
    clip_timeout_s: Annotated[float, Field(ge=5, strict=False)] = 300.0
    """A clip that takes longer to decode is quarantined as unreadable."""
