"""Whom to tell how a scheduled run ended."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from hazardline.documents import Document


def _plain_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address with http:// or https://")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("a recipe holds no secrets: give an address without user, password, query and fragment")
    return url


class NotifyConfig(Document):
    """A webhook; its secret is the environment variable `HAZARDLINE_WEBHOOK_SECRET`."""

    url: Annotated[str, AfterValidator(_plain_address)] | None = None
    """Where a signed JSON document is sent by POST. It stands in compiled pipelines and in the registry, so it is no
    place for a token. None: nobody is told."""
    num_attempts: Annotated[int, Field(ge=1, le=10)] = 5
    timeout_s: Annotated[float, Field(gt=0, le=60, strict=False)] = 10.0
    """Of one attempt."""


class NoticeConfig(NotifyConfig):
    """What the task is told: the webhook, and what it tells of."""

    recipe: str
    model_name: str
