"""One update of a device: fetch, verify, stage, check, switch, confirm; and back, if it does not prove itself.

Whatever happens, at whatever moment, the slot that runs is one that was verified and confirmed before, or one that is
on trial with the older one untouched beside it.
"""

import errno
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hazardline.device.bundle import BundleError
from hazardline.device.config import FetchLimits
from hazardline.device.fetch import FetchError, Offer, ReleaseSource
from hazardline.device.health import HealthResult
from hazardline.device.slots import Staging, confirm, go_back, recover, stage, switch
from hazardline.device.state import DeviceFolder, DeviceState, Refusal, Slot
from hazardline.documents import Document

HealthCheck = Callable[[Path], HealthResult]
"""Whether the bundle in a folder may run on this device."""
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What a device is asked to follow."""

    repository: str
    """Folder, file:// or http(s) address."""
    model: str
    channel: str
    max_attempts: int = 3
    fetch: FetchLimits = field(default_factory=FetchLimits)


class UpdateOutcome(Document):
    """What an update came to. In every case `slot` is what the device runs now."""

    status: Literal["installed", "unchanged", "refused", "fell_back", "failed"]
    """`refused`: this release is not taken, now and later. `fell_back`: it was switched to and did not hold.
    `failed`: it could not be had (network, disk, metadata that is not genuine); the next update tries again."""
    kind: str
    """One word for programs: the status, or what went wrong."""
    reason: str
    slot: Slot | None
    version: int | None
    """Of the release that the device runs now."""
    offered_version: int | None = None
    downloaded_bytes: int = 0
    num_downloaded: int = 0
    reused_bytes: int = 0


def update(
    device: DeviceFolder, request: Request, health: HealthCheck, confirmation: HealthCheck | None = None
) -> UpdateOutcome:
    """Bring a device to the release that its channel points to.

    Args:
        device: provisioned folder.
        request: where to look for what.
        health: run on the staged slot before the switch.
        confirmation: run on the current slot after the switch; `health` where None is given.

    Raises:
        UpdateRunningError: another update is running.
        UserError: the device was never provisioned.
    """
    with device.lock():
        device.sweep()
        state = _in_order(device)
        try:
            source = ReleaseSource(request.repository, device, request.fetch)
            offer = source.offer(request.model, request.channel)
        except FetchError as error:
            return _outcome(device, "failed", error.kind, str(error))
        except OSError as error:
            return _disk_is_full(device, error)
        unwanted = _unwanted(device, state, offer, request.max_attempts)
        if unwanted is not None:
            return unwanted
        return _install(device, state, offer, source, health, confirmation or health)


def _install(
    device: DeviceFolder,
    state: DeviceState,
    offer: Offer,
    source: ReleaseSource,
    health: HealthCheck,
    confirmation: HealthCheck,
) -> UpdateOutcome:
    """Stage, check, switch, confirm."""
    slot = state.idle()
    try:
        state, staging = stage(device, state, offer, source)
        # Counted before the trial: a release that takes the device down must not be tried for ever.
        tries = state.attempts.get(offer.release_sha256, 0) + 1
        state = device.write(state.having(attempts={**state.attempts, offer.release_sha256: tries}))
    except FetchError as error:
        return _outcome(device, "failed", error.kind, str(error), offer)
    except BundleError as error:
        return _refuse(device, offer, "NotABundle", str(error))
    except OSError as error:
        return _disk_is_full(device, error, offer)
    found = health(device.slot(slot))
    if not found.passed:
        return _refuse(device, offer, "Unhealthy", "; ".join(found.reasons), staging)
    state = switch(device, state, slot)
    found = confirmation(device.slot(slot))
    if not found.passed:
        reason = "after the switch: " + "; ".join(found.reasons)
        go_back(device, state, reason)
        return _refuse(device, offer, "Unhealthy", reason, staging, status="fell_back")
    confirm(device, state)
    reason = f"release {offer.release.version} runs in slot {slot}"
    return _outcome(device, "installed", "installed", reason, offer, staging)


def _in_order(device: DeviceFolder) -> DeviceState:
    """The state after recovery, fit for an update: also with nothing that can run, which an update is to mend."""
    try:
        state = recover(device)
    except BundleError as error:
        _log.warning("%s", error)
        state = device.read()
        slots = {slot: record for slot, record in state.slots.items() if slot != state.current}
        return device.write(state.having(slots=slots, pending=None, last_fall_back=str(error)))
    if state.pending is not None:
        # The first release of this device was cut off in its trial: try it as if it had never been switched to.
        return go_back(device, state, "the device was cut off before its first release was confirmed")
    return state


def _unwanted(device: DeviceFolder, state: DeviceState, offer: Offer, max_attempts: int) -> UpdateOutcome | None:
    """The outcome, if the release that is offered is not to be installed."""
    digest, version = offer.release_sha256, offer.release.version
    record = state.record()
    if record is not None and record.release_sha256 == digest:
        return _outcome(device, "unchanged", "unchanged", f"release {version} runs already", offer)
    if digest in state.refused:
        reason = f"release {version} was refused before: {state.refused[digest].reason}"
        return _outcome(device, "refused", "RefusedBefore", reason, offer)
    if version < state.highest_version and not offer.channel.is_rollback:
        reason = (
            f"release {version} is older than release {state.highest_version}, which this device has run, and the "
            "channel does not say that it should go back"
        )
        return _outcome(device, "refused", "OlderRelease", reason, offer)
    if state.attempts.get(digest, 0) >= max_attempts:
        return _refuse(device, offer, "TooManyAttempts", f"its trial was cut off {max_attempts} times")
    return None


def _refuse(
    device: DeviceFolder,
    offer: Offer,
    kind: str,
    reason: str,
    staging: Staging | None = None,
    status: Literal["refused", "fell_back"] = "refused",
) -> UpdateOutcome:
    """Remember a release as refused, for good."""
    state = device.read()
    digest, version = offer.release_sha256, offer.release.version
    attempts = {key: count for key, count in state.attempts.items() if key != digest}
    refused = {**state.refused, digest: Refusal(version=version, reason=reason)}
    device.write(state.having(attempts=attempts, refused=refused))
    _log.warning("release %d is refused: %s", version, reason)
    return _outcome(device, status, kind, f"release {version} is refused: {reason}", offer, staging)


def _disk_is_full(device: DeviceFolder, error: OSError, offer: Offer | None = None) -> UpdateOutcome:
    """Give back what the update took, so that the rest of the computer can go on. Other errors are defects."""
    if error.errno not in _DISK_IS_FULL:
        raise error
    state = device.read()
    if state.idle() not in state.slots and device.slot(state.idle()).exists():
        shutil.rmtree(device.slot(state.idle()))
    for path in device.downloads.iterdir():
        path.unlink()
    return _outcome(device, "failed", "DiskFull", f"{device.root}: {error.strerror}; free some space", offer)


def _outcome(
    device: DeviceFolder,
    status: Literal["installed", "unchanged", "refused", "fell_back", "failed"],
    kind: str,
    reason: str,
    offer: Offer | None = None,
    staging: Staging | None = None,
) -> UpdateOutcome:
    state = device.read()
    record = state.record()
    took = staging or Staging()
    return UpdateOutcome(
        status=status,
        kind=kind,
        reason=reason,
        slot=state.current if record else None,
        version=record.version if record else None,
        offered_version=offer.release.version if offer else None,
        downloaded_bytes=took.downloaded_bytes,
        num_downloaded=took.num_downloaded,
        reused_bytes=took.reused_bytes,
    )
