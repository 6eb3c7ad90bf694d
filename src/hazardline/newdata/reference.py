"""What the registry knows of the data that its models were trained on, as the newdata stage reads it."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.store import Sha256

REFERENCE_NAME = "reference.json"
REFERENCE_FOLDER = "version"
"""Below the same folder: tables of the data set version that the champion was trained on."""


class ReferenceNote(Document):
    """Whose data today's is compared with (`reference.json`)."""

    version: Literal["reference@1"] = "reference@1"
    model_name: str
    model_version: Annotated[int, Field(ge=1)] | None
    """The champion; None where there is none yet."""
    dataset_version: Sha256 | None
    """The data set version that it was trained on."""
    unknown: str | None
    """Why there is no such version, though there is a champion."""
    trained: dict[Sha256, str]
    """Content digest of every data set version on which a training ran and came to an end, with that end in words."""
