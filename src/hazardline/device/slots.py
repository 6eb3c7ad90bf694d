"""Two slots: which one runs, and how a release comes into the other one.

A slot is listed in the state only while it holds a release whose every file was verified and flushed. It is taken off
the list before the first byte in it changes, and put back after the last one has.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hazardline.device.bundle import BundleError, verify_bundle, verify_files
from hazardline.device.fetch import FetchError, Offer, ReleaseSource
from hazardline.device.state import DeviceFolder, DeviceState, Pending, Slot, SlotRecord, UpdateRunningError, flush
from hazardline.errors import UserError
from hazardline.files import sha256_file, sync_tree
from hazardline.release.document import Release, ReleaseFile

SPARE_BYTES = 16 << 20
"""What must stay free beside a release: metadata, state, and room for the file system."""
_log = logging.getLogger(__name__)


@dataclass
class Staging:
    """What staging a release took."""

    downloaded_bytes: int = 0
    num_downloaded: int = 0
    reused_bytes: int = 0
    """Of files that were on the device already, in either slot."""


def start(device: DeviceFolder) -> Path:
    """What the service runs at its start: the folder of a slot whose every file is right.

    A slot that was switched to and never confirmed has not survived its trial: the device goes back to the older one.
    A current slot that is damaged gives way to the other one, if that holds a release.

    Raises:
        UserError: no slot holds a release that verifies.
    """
    try:
        with device.lock():
            device.sweep()
            state = recover(device)
    except UpdateRunningError:
        # A living update is about to confirm or to go back; it is not this process that decides.
        state = device.read()
        if state.current is not None:
            verify_slot(device, state, state.current)
    if state.current is None:
        raise UserError(f"{device.root}: no release is installed yet; run hazardline device update")
    return device.slot(state.current)


def recover(device: DeviceFolder) -> DeviceState:
    """Bring the state in order after whatever happened to the last process. Only under the lock.

    Returns:
        the state, in which the current slot, if there is one, verifies.

    Raises:
        UserError: no slot holds a release that verifies, although one was installed.
    """
    state = device.read()
    if state.pending is not None and state.pending.previous is not None:
        state = go_back(device, state, "the device was cut off before the new release was confirmed")
    if state.current is None:
        return state
    try:
        verify_slot(device, state, state.current)
        return state
    except BundleError as error:
        other = state.idle()
        if other not in state.slots:
            raise BundleError(f"{error}; the other slot holds no release: run hazardline device update") from None
        verify_slot(device, state, other)
        slots = {slot: record for slot, record in state.slots.items() if slot != state.current}
        reason = f"slot {state.current} is damaged: {error}"
        _log.warning("%s; going back to slot %s", reason, other)
        return device.write(state.having(current=other, slots=slots, pending=None, last_fall_back=reason))


def go_back(device: DeviceFolder, state: DeviceState, reason: str) -> DeviceState:
    """Return from a slot on trial to the one before, which is still untouched (to none, if there is none)."""
    assert state.pending is not None
    _log.warning("going back to slot %s: %s", state.pending.previous, reason)
    return device.write(state.having(current=state.pending.previous, pending=None, last_fall_back=reason))


def switch(device: DeviceFolder, state: DeviceState, slot: Slot) -> DeviceState:
    """Let a slot run, on trial. One write: there is no moment at which neither or both are current."""
    previous = state.current if state.current in state.slots else None
    return device.write(state.having(current=slot, pending=Pending(previous=previous)))


def confirm(device: DeviceFolder, state: DeviceState) -> DeviceState:
    """End the trial of the current slot: it has proved itself."""
    record = state.record()
    assert record is not None
    attempts = {digest: count for digest, count in state.attempts.items() if digest != record.release_sha256}
    highest = max(state.highest_version, record.version)
    return device.write(state.having(pending=None, highest_version=highest, attempts=attempts))


def verify_slot(device: DeviceFolder, state: DeviceState, slot: Slot) -> None:
    """Check every file of a slot.

    Raises:
        BundleError: what is wrong.
    """
    record = state.slots.get(slot)
    if record is None:
        raise BundleError(f"{device.slot(slot)}: holds no release")
    if verify_bundle(device.slot(slot)).manifest_sha256 != record.manifest_sha256:
        raise BundleError(f"{device.slot(slot)}: holds another bundle than the one that was installed")


def stage(device: DeviceFolder, state: DeviceState, offer: Offer, source: ReleaseSource) -> tuple[DeviceState, Staging]:
    """Bring a release into the idle slot: what the device has already is linked, the rest is downloaded.

    A slot that was half filled by an update that was cut off is completed, not begun again.

    Raises:
        FetchError: a file could not be fetched or is not genuine.
        BundleError: the release is genuine, but is no bundle.
        OSError: the disk is full. In all cases the current slot is as it was.
    """
    slot, release = state.idle(), offer.release
    folder = device.slot(slot)
    staging = Staging()
    if slot in state.slots:
        slots = {name: record for name, record in state.slots.items() if name != slot}
        state = device.write(state.having(slots=slots))
    folder.mkdir(parents=True, exist_ok=True)
    have = _index(device, state, release)
    missing = {file.sha256: file for file in release.files if file.sha256 not in have}
    _require_space(device, list(missing.values()))
    _clear(folder, release)
    for file in release.files:
        _place(device, file, folder, have, source, release.model, staging)
    verify_files(folder, release.files)
    if verify_bundle(folder).manifest_sha256 != release.manifest_sha256:
        raise BundleError(f"release {release.version}: its manifest is not the one that was signed")
    sync_tree(folder)
    flush(folder.parent)
    record = SlotRecord(
        version=release.version,
        release_sha256=offer.release_sha256,
        manifest_sha256=release.manifest_sha256,
    )
    state = device.write(state.having(slots={**state.slots, slot: record}))
    _drop_downloads(device)
    return state, staging


def _index(device: DeviceFolder, state: DeviceState, release: Release) -> dict[str, Path]:
    """Files of the release that are on the device, by digest; every one is read and hashed, whatever its name says.

    In the idle slot only what lies in its right place counts, because the rest is about to be removed.
    """
    idle, other = device.slot(state.idle()), device.slot("a" if state.idle() == "b" else "b")
    wanted = {file.sha256: file.size_bytes for file in release.files}
    found: dict[str, Path] = {}
    for file in release.files:
        path = idle / file.path
        if _is_plain(path) and path.stat().st_size == file.size_bytes and sha256_file(path) == file.sha256:
            found[file.sha256] = path
    for path in _plain_files(other):
        if path.stat().st_size in wanted.values() and (digest := sha256_file(path)) in wanted:
            found.setdefault(digest, path)
    return found


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _plain_files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(parent) / name
            if _is_plain(path):
                yield path


def _require_space(device: DeviceFolder, missing: list[ReleaseFile]) -> None:
    """Refuse before anything is written, rather than run into a full disk in the middle."""
    partial = sum(path.stat().st_size for path in device.downloads.glob("*.part"))
    needed = sum(file.size_bytes for file in missing) - partial + SPARE_BYTES
    free = shutil.disk_usage(device.root).free
    if needed > free:
        raise FetchError(
            "DiskFull",
            f"{device.root}: {needed} bytes are needed and {free} are free; free some space and update again",
        )


def _clear(folder: Path, release: Release) -> None:
    """Remove from the idle slot what does not belong to the release, folders that are left empty included."""
    wanted = {file.path for file in release.files}
    for parent, folder_names, file_names in os.walk(folder, topdown=False):
        for name in file_names:
            path = Path(parent) / name
            if path.relative_to(folder).as_posix() not in wanted or path.is_symlink():
                path.unlink()
        for name in folder_names:
            path = Path(parent) / name
            if path.is_symlink():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


def _place(
    device: DeviceFolder,
    file: ReleaseFile,
    folder: Path,
    have: dict[str, Path],
    source: ReleaseSource,
    model: str,
    staging: Staging,
) -> None:
    """Put one file of a release where it belongs."""
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    present = have.get(file.sha256)
    if present == target:
        staging.reused_bytes += file.size_bytes
    elif present is not None:
        _link(present, target)
        staging.reused_bytes += file.size_bytes
    else:
        source.fetch(model, file, target)
        staging.downloaded_bytes += file.size_bytes
        staging.num_downloaded += 1
    have[file.sha256] = target


def _link(present: Path, target: Path) -> None:
    """A second name for a file: files of slots are never written in place, so that both slots may share them."""
    making = target.parent / f".{target.name}.tmp"
    making.unlink(missing_ok=True)
    try:
        os.link(present, making)
    except OSError:
        # A file system without hard links, or a file with too many of them.
        shutil.copyfile(present, making)
    making.replace(target)


def _drop_downloads(device: DeviceFolder) -> None:
    for path in device.downloads.iterdir():
        path.unlink()
