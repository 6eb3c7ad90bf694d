"""What is in the images that were built, and what is not."""

import json

import pytest

from tests.docker.checkout import BUILT, ROOT
from tests.docker.daemon import Daemon
from tests.test_images import TRAINING, lock_of, locked

SMALL_MB = 800
"""The device image on Debian's base; torch alone is more."""
SBOM = (
    "import json; parts = json.load(open('/opt/hazardline/sbom.json'))['components']; "
    "print(json.dumps({part['name']: part['version'] for part in parts}))"
)
INSTALLED = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
)


def python(docker: Daemon, image: str, program: str, status: int = 0) -> str:
    return docker.ask(
        "run",
        "--rm",
        "--network",
        "none",
        "--read-only",
        "--entrypoint",
        "python3",
        image,
        "-c",
        program,
        status=status,
    )


@pytest.mark.parametrize("image", BUILT)
def test_the_bill_of_materials_is_what_is_installed_and_locked(docker: Daemon, image: str) -> None:
    listed = json.loads(python(docker, image, SBOM))
    assert listed == json.loads(python(docker, image, INSTALLED))
    lock = locked(ROOT / "docker" / f"{image.removeprefix('hazardline-').removesuffix('-python')}.lock.txt")
    found = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in listed.items()}
    assert {name: version for name, version in lock.items() if found.get(name) != version} == {}
    assert set(found) - set(lock) <= {"hazardline", "pip", "setuptools", "wheel"}


@pytest.mark.parametrize("image", BUILT)
def test_an_image_says_what_it_is_and_runs_as_nobody(docker: Daemon, image: str) -> None:
    (found,) = json.loads(docker.ask("image", "inspect", f"{image}:latest"))
    labels = found["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == image
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert len(labels["org.opencontainers.image.revision"].removesuffix("-dirty")) == 40
    assert python(docker, image, "import os; print(os.getuid(), os.getgid())").split() == ["10001", "10001"]


@pytest.mark.parametrize("image", BUILT)
def test_an_image_has_no_compiler_and_no_way_to_write(docker: Daemon, image: str) -> None:
    assert (
        python(docker, image, "import shutil; print(shutil.which('gcc'), shutil.which('cc'))").split() == ["None"] * 2
    )
    said = python(docker, image, "open('/opt/hazardline/x', 'w')", status=1)
    assert "Read-only file system" in said
    writable = docker.ask("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c",
                          "find / -xdev -type d -writable -not -path '/proc/*' 2>/dev/null; true").split()  # fmt: skip
    assert set(writable) <= {"/tmp", "/var/tmp", "/run/lock", "/var/lib/hazardline"}


def test_the_pipeline_image_has_all_that_its_packages_ask_for(docker: Daemon) -> None:
    said = docker.ask("run", "--rm", "--network", "none", "--read-only", "hazardline-pipeline-python",
                      "python3", "-m", "pip", "check")  # fmt: skip
    assert "No broken requirements found" in said


def test_the_mlflow_image_has_the_server_and_what_its_backup_takes(docker: Daemon) -> None:
    for program in ("mlflow", "pg_dump", "pg_restore"):
        said = docker.ask("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "hazardline-mlflow",
                          program, "--version")  # fmt: skip
        version = lock_of("mlflow")["mlflow"] if program == "mlflow" else "15."
        assert f" {version}" in said


def test_the_device_image_is_small_and_knows_nothing_of_training(docker: Daemon) -> None:
    (found,) = json.loads(docker.ask("image", "inspect", "hazardline-device:latest"))
    assert found["Size"] / 1e6 < SMALL_MB
    installed = set(json.loads(python(docker, "hazardline-device", INSTALLED)))
    assert installed & (TRAINING | {"pip", "setuptools", "wheel"}) == set()
