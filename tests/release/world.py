"""A small world for tests of release and device: bundles that really answer, a publisher, a repository, devices."""

import hashlib
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hazardline.device.bundle import verify_bundle
from hazardline.device.config import FetchLimits, HealthLimits
from hazardline.device.health import HealthResult, check_health
from hazardline.device.state import DeviceFolder, provision
from hazardline.device.update import Request, UpdateOutcome, update
from hazardline.files import sha256_file, write_json
from hazardline.progress import SilentReporter
from hazardline.release.config import Expiry
from hazardline.release.destination import Destination, FolderDestination
from hazardline.release.keys import KeyFolder
from hazardline.release.publish import Published, Publisher, publish
from tests.device.tiny_probe import answer

MODEL, CHANNEL = "crashchat", "stable"
TINY_PROBE = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "device" / "tiny_probe.py"))
LIMITS = HealthLimits(timeout_s=120.0)


def noise(name: str, size_bytes: int) -> bytes:
    """The same bytes for the same name."""
    return hashlib.shake_256(name.encode()).digest(size_bytes)


def write_bundle(folder: Path, adapters: str = "1", decoder: bytes | None = None, is_right: bool = True) -> Path:
    """A bundle of five files and two golden clips. `adapters` is what tells one version from the next.

    Args:
        folder: where to.
        adapters: seeds the adapters.
        decoder: content of the decoder.
        is_right: False: it does not answer as its golden set says.
    """
    files = {
        "decoder.onnx": decoder if decoder is not None else noise("decoder", 60_000),
        "vision.onnx": noise("vision", 40_000),
        "linguistic.onnx_adapter": noise(f"linguistic {adapters}", 3_000),
        "perception.onnx_adapter": noise(f"perception {adapters}", 3_000),
        "golden/crash.mp4": noise("crash", 5_000),
        "golden/normal.mp4": noise("normal", 5_000),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    clips = []
    for name in ("golden/crash.mp4", "golden/normal.mp4"):
        said = answer(folder, folder / name)
        if not is_right:
            said["crash_recognition"] = "No" if said["crash_recognition"] == "Yes" else "Yes"
        clips.append({"path": name, "is_crash": "crash" in name, "answers": said})
    write_json(folder / "golden/golden.json", {"version": "golden@1", "min_equal_share": 0.9, "clips": clips})
    write_manifest(folder)
    return folder


def write_manifest(folder: Path) -> None:
    """List all files of a folder, with keys that only the exporter knows."""
    listed = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json")
    files = [
        {
            "path": path.relative_to(folder).as_posix(),
            "sha256": sha256_file(path),
            "size_bytes": path.stat().st_size,
            "role": "weights",
        }
        for path in listed
    ]
    write_json(folder / "manifest.json", {"name": "tiny", "version": "1", "files": files, "parity": {"kl": 0.0}})


@dataclass
class World:
    """Folders of one test, and the clock of its publisher."""

    root: Path
    now: datetime
    expiry: Expiry = field(default_factory=Expiry)

    @classmethod
    def at(cls, root: Path) -> "World":
        """A world without anything in it."""
        return cls(root, datetime.now(UTC))

    @property
    def repository(self) -> Path:
        """Where releases are published."""
        return self.root / "repository"

    @property
    def keys(self) -> KeyFolder:
        """Who signs."""
        return KeyFolder(self.root / "keys")

    def publisher(self, destination: Destination | None = None, days: float = 0) -> Publisher:
        """A publisher, some days from now."""
        there = destination or FolderDestination(self.repository)
        return Publisher(there, self.keys, self.expiry, self.now + timedelta(days=days))

    def release(self, bundle: Path, destination: Destination | None = None, days: float = 0) -> Published:
        """Publish a bundle."""
        publisher = self.publisher(destination, days)
        return publish(publisher, MODEL, CHANNEL, verify_bundle(bundle), {"registered": "7"}, SilentReporter())

    def release_version(self, adapters: str) -> Published:
        """Publish a bundle that differs from others in its adapters only."""
        folder = self.root / f"bundle-{adapters}"
        return self.release(folder if folder.exists() else write_bundle(folder, adapters))

    def device(self, name: str = "device") -> DeviceFolder:
        """A device that trusts the publisher's present root, or the one of that name."""
        return provision(self.root / name, self.keys.root_path.read_bytes())

    def update(self, device: DeviceFolder, **changes: object) -> UpdateOutcome:
        """Update a device, with the tiny runtime for its health check."""
        return update(device, self.request(**changes), healthy)

    def request(self, **changes: object) -> Request:
        """What devices follow here."""
        values = {
            "repository": str(self.repository),
            "model": MODEL,
            "channel": CHANNEL,
            "fetch": FetchLimits(attempts=3, socket_timeout_s=5.0),
        }
        return Request(**{**values, **changes})  # type: ignore[arg-type]


def healthy(bundle: Path) -> HealthResult:
    """Health check with the tiny runtime."""
    return check_health(bundle, LIMITS, TINY_PROBE)


def flip_bit(path: Path, at: int = -5) -> bytes:
    """Change one bit of a file; returns what it held."""
    before = path.read_bytes()
    data = bytearray(before)
    data[at] ^= 1
    path.write_bytes(bytes(data))
    return before
