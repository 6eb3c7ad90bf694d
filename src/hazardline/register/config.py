"""Settings of the register stage."""

from typing import Annotated, Literal

from pydantic import Field

from hazardline.bases.address import BaseAddress
from hazardline.documents import Document

MODEL_NAME_PATTERN = r"[A-Za-z0-9_.-]{1,200}"
"""Names that are safe in MLflow, in its filters and as file names."""


class RegisterConfig(Document):
    """Recipe section `register`."""

    model_name: Annotated[str, Field(pattern=rf"^{MODEL_NAME_PATTERN}$")] = "crashchat-pocket"
    """Name of the registered model in MLflow."""
    promote: bool = True
    """Whether a candidate that passed the gate becomes champion. False only records it."""
    approval: Literal["automatic", "manual"] = "automatic"
    """`manual`: a candidate that passed waits until someone approves it (`hazardline register promote --approve`)."""
    base: BaseAddress = "pocket"
    """`pocket`, `pocket-image`, a folder, `s3://bucket/prefix` or `hub:owner/name@commit`; the same in all stages."""
    recipe: str = ""
    """The whole recipe as YAML text, kept with the version. The line fills it in: leave it out of a recipe file."""
