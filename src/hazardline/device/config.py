"""Settings of the device stage, and of `hazardline device update`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hazardline import environment
from hazardline.documents import Document
from hazardline.release.document import PlainName


class HealthLimits(Document):
    """What a bundle must keep to on its golden clips, on the device itself, beside answering as its exporter did."""

    max_answer_s: Annotated[float, Field(gt=0)] = 60.0
    """Longest time for the answers to one clip."""
    max_memory_mb: Annotated[float, Field(gt=0)] = 8192.0
    """Peak resident memory of the process that answers, in MB (10^6 bytes)."""
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """For the whole health check; then it is killed and counts as failed."""


class FetchLimits(Document):
    """How a device downloads."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """How often a broken connection is taken up again, a file; each time where it broke off."""
    socket_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    min_bytes_per_s: Annotated[int, Field(ge=1)] = 1024
    """A server slower than this, over a whole file, is given up (slow-retrieval attack)."""


class DeviceConfig(Document):
    """Where a device gets its releases from, where it keeps them, and when it believes in one."""

    model: PlainName | None = None
    """Line of releases. None: the one that the release stage published."""
    channel: PlainName | None = None
    """Channel to follow. None: the one that the release stage published."""
    repository: str | None = None
    """Folder, file:// or http(s) address. None: where the release stage published."""
    state: str | None = None
    """Folder of slots, state and trust anchor. None: `device` below the hazardline home."""
    num_answered_clips: Annotated[int, Field(ge=1, le=100)] = 3
    """Clips of the test split that the updated device answers for the summary."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a release whose trial was cut off (power loss) is tried. One that fails its check is not."""
    health: HealthLimits = HealthLimits()
    fetch: FetchLimits = FetchLimits()

    def state_folder(self) -> Path:
        """Folder of slots, state and trust anchor, absolute."""
        return Path(self.state).absolute() if self.state else environment.home() / "device"
