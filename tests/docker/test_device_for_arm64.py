"""The device image's locks are good for arm64 too, by what the package index has; nothing is built."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docker.daemon import VARIABLE
from tests.dockerfiles import FOLDER, parse
from tests.test_images import locked

INSTALLED = " ".join(parse((FOLDER / "device.Dockerfile").read_text()).all("RUN"))
LOCKS = re.findall(r"--require-hashes [^&]*?-r (\S+)", INSTALLED)
OLDEST_GLIBC = 31
"""Of 2.x, as docker/README.md says; llguidance asks for it."""
PLATFORMS = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, OLDEST_GLIBC + 1))]
MACHINE = {"platform_machine": "aarch64", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
ENVIRONMENT = {**default_environment(), **MACHINE, "python_version": "3.11", "python_full_version": "3.11.2"}
TIMEOUT_S = 600

pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"{VARIABLE} is not set: as image builds do, this asks the package index"
)


def wheels(lock: Path, report: Path) -> dict[str, Any]:
    """What pip would install of a lock on arm64, wheels with a locked hash alone: its metadata by canonical name."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report,
         "--target", report.parent / "nothing", "--python-version", "3.11", "--only-binary", ":all:", *platforms,
         "--no-deps", "--require-hashes", "-r", lock],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    items = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in items}


def asked_for(listed: list[Requirement], found: dict[str, Any]) -> set[str]:
    """Names of all packages that a list comes to on arm64, by what the found wheels ask for there."""
    names, seen, coming = set[str](), set[tuple[str, str]](), list(listed)
    while coming:
        wanted = coming.pop()
        name = canonicalize_name(wanted.name)
        names.add(name)
        if name not in found:
            continue
        assert found[name]["version"] in wanted.specifier, f"{wanted} and not {found[name]['version']}"
        for extra in {"", *wanted.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            there = {**ENVIRONMENT, "extra": extra}
            needs = map(Requirement, found[name].get("requires_dist", []))
            coming += [need for need in needs if need.marker is None or need.marker.evaluate(there)]
    return names


def test_the_dockerfile_has_locks() -> None:
    assert set(LOCKS) == {"build.lock.txt", "sbom.lock.txt", "device.lock.txt"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_of_the_device_image_is_whole_on_arm64(name: str, tmp_path: Path) -> None:
    lock = FOLDER / name
    found = wheels(lock, tmp_path / "report.json")
    assert {package: data["version"] for package, data in found.items()} == locked(lock)
    text = lock.with_name(name.replace(".lock.txt", ".requirements.in")).read_text()
    listed = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    assert asked_for(listed, found) == set(found), "as many packages as there, no more and no fewer"
