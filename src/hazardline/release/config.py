"""Settings of the release stage."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hazardline import environment
from hazardline.documents import Document
from hazardline.release.document import PlainName

Days = Annotated[int, Field(ge=1, le=3650)]


class Expiry(Document):
    """Days until signed metadata must have been signed again. Shorter: a frozen repository is noticed sooner."""

    root_days: Days = 365
    targets_days: Days = 90
    """The top-level targets role and the delegated role of each model."""
    snapshot_days: Days = 14
    timestamp_days: Days = 7
    """How long a device can be kept on an old release by someone who holds back everything new."""


class ReleaseConfig(Document):
    """What is released under which name, where it is published, and who signs."""

    model: PlainName = "crashchat"
    """Name of the line of releases; it has its own signing key."""
    channel: PlainName = "stable"
    """Devices follow one channel."""
    destination: str | None = None
    """A folder, or `s3://bucket/prefix` (endpoint from HAZARDLINE_S3_ENDPOINT, credentials as boto3 finds them).
    None: HAZARDLINE_REPOSITORY, or `repository` below the hazardline home."""
    public_url: str | None = None
    """Address at which devices reach the destination, where it differs from what the destination says of itself."""
    keys: str | None = None
    """Folder of the signing keys; made with demonstration keys where it does not exist. None: HAZARDLINE_SIGNING_KEYS,
    or `demo-signing-keys` below the hazardline home. It must lie outside the destination."""
    expiry: Expiry = Expiry()

    def destination_address(self) -> str:
        """Folder or s3:// address to publish to."""
        return self.destination or environment.repository()

    def keys_folder(self) -> Path:
        """Folder of the signing keys, absolute."""
        return Path(self.keys).absolute() if self.keys else environment.signing_keys()
