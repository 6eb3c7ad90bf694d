"""What a device remembers: one small document, replaced as a whole.

The slot that runs, whether it has proved itself, and what was refused stand in the *same* file, so that one atomic
rename changes them together. A symbolic link `current` beside a state file would need two writes, and power can fail
between them (docs/adr/0005).

    <folder>/
      state.json       this document
      root.json        trust anchor, copied at provisioning, never changed afterwards
      slots/a, slots/b two bundles; at most one of them is being written, never the one that runs
      downloads/       files on their way, by digest; what is complete is moved into a slot
      metadata/        what the update framework has verified
      lock             held by whoever updates
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import folder_in_making, sha256_bytes, write_atomic
from hazardline.release.document import Sha256

Slot = Literal["a", "b"]


class UpdateRunningError(UserError):
    """Another process is updating this device."""


class SlotRecord(Document):
    """The release that a slot holds, all files verified and flushed to the disk."""

    version: int
    release_sha256: Sha256
    manifest_sha256: Sha256


class Pending(Document):
    """The current slot is on trial: it was switched to and has not been confirmed."""

    previous: Slot | None
    """Where to go back to; None for the first release of a device."""


class Refusal(Document):
    """A release that this device will not try again."""

    version: int
    reason: str


class DeviceState(Document):
    """What a device remembers (`state.json`)."""

    schema_version: Literal["device-state@1"] = "device-state@1"
    root_sha256: Sha256
    """Digest of the trust anchor."""
    current: Slot | None = None
    """The slot that runs."""
    slots: dict[Slot, SlotRecord] = Field(default_factory=dict)
    """Slots that hold a verified release. A slot that is not listed holds nothing that may be run."""
    pending: Pending | None = None
    highest_version: int = 0
    """Newest release ever confirmed: below it only with a signed rollback."""
    attempts: dict[str, int] = Field(default_factory=dict)
    """Trials begun, by digest of the release, of releases that have no verdict yet."""
    refused: dict[str, Refusal] = Field(default_factory=dict)
    """Releases that failed, by digest."""
    last_fall_back: str | None = None
    """Why the device last went back to its older slot by itself."""

    def record(self) -> SlotRecord | None:
        """The release in the current slot."""
        return self.slots.get(self.current) if self.current else None

    def idle(self) -> Slot:
        """The slot that may be written: never the one that runs."""
        return "b" if self.current == "a" else "a"

    def having(self, **changes: object) -> "DeviceState":
        """This state with some fields exchanged."""
        return DeviceState.model_validate({**dict(self), **changes})


@dataclass(frozen=True)
class DeviceFolder:
    """Paths below the folder of a device."""

    root: Path

    @property
    def state_path(self) -> Path:
        """The state document."""
        return self.root / "state.json"

    @property
    def anchor(self) -> Path:
        """The root metadata that the device was provisioned with."""
        return self.root / "root.json"

    @property
    def downloads(self) -> Path:
        """Files on their way."""
        return self.root / "downloads"

    @property
    def metadata(self) -> Path:
        """Verified metadata of the update framework."""
        return self.root / "metadata"

    def slot(self, slot: Slot) -> Path:
        """Folder of a slot."""
        return self.root / "slots" / slot

    def read(self) -> DeviceState:
        """The state.

        Raises:
            UserError: the folder was never provisioned, or somebody changed the file.
        """
        if not self.state_path.exists():
            raise UserError(f"{self.root}: is not a provisioned device; run the device stage, or provision it first")
        return DeviceState.read(self.state_path)

    def write(self, state: DeviceState) -> DeviceState:
        """Replace the state: after this returns it survives a power cut, before that the old one does."""
        state.write(self.state_path)
        return state

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other updates out; the kernel drops the lock with the process.

        Raises:
            UpdateRunningError: another update is running.
            UserError: the folder was never provisioned.
        """
        self.read()
        with (self.root / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UpdateRunningError(
                    f"{self.root}: another update of this device is running; wait for it"
                ) from None
            yield

    def sweep(self) -> None:
        """Remove temporary files that a killed process left behind. Only under the lock."""
        for folder, patterns in ((self.root, (".*.tmp",)), (self.metadata, ("tmp*",))):
            for pattern in patterns:
                for path in folder.glob(pattern):
                    path.unlink()


def provision(root: Path, anchor: bytes) -> DeviceFolder:
    """Make the folder of a device that trusts this root metadata. An existing device keeps the root that it trusts.

    Args:
        root: folder.
        anchor: bytes of a root metadata file, from a source that is trusted by other means (the factory).

    Raises:
        UserError: the folder holds something else, or its trust anchor was exchanged.
    """
    device = DeviceFolder(root)
    if root.exists() and any(root.iterdir()):
        if sha256_bytes(device.anchor.read_bytes() if device.anchor.exists() else b"") != device.read().root_sha256:
            raise UserError(f"{device.anchor}: is not what this device was provisioned with; provision it anew")
        return device
    if root.exists():
        root.rmdir()
    with folder_in_making(root) as making:
        write_atomic(making / "root.json", anchor)
        for name in ("slots", "downloads", "metadata"):
            (making / name).mkdir()
        DeviceFolder(making).write(DeviceState(root_sha256=sha256_bytes(anchor)))
    return device


def flush(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
