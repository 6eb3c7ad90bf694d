"""From an image that was built to a digest that a cluster can pull, by a real registry."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.checkout import run_pipelines
from tests.docker.daemon import CLIENT, Daemon

from components.image_lock import LOCK_PATH, read_lock, references

IMAGE = "hazardline-device"
CONFIG = """version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error}}
"""
START_TIMEOUT_S = 60


@pytest.fixture
def registry(docker: Daemon, tmp_path: Path) -> Iterator[str]:
    """Address of an empty registry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "config.yml"
    config.write_text(CONFIG.format(folder=tmp_path / "blobs", port=port))
    process = subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not answers(f"http://127.0.0.1:{port}/v2/"):
            assert process.poll() is None and time.monotonic() < give_up_at
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(url: str) -> bool:
    """Whether a server says something at an address."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def test_a_pushed_image_is_locked_and_pulled_by_its_digest(docker: Daemon, registry: str, tmp_path: Path) -> None:
    lock = tmp_path / "images.lock.yaml"
    lock.write_text(LOCK_PATH.read_text())
    done = run_pipelines(docker, "images", "push", "--registry", f"{registry}/vision", "--image", IMAGE,
                     "--lock", str(lock), "--docker", CLIENT)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    reference = references([IMAGE], read_lock(lock), "lock", {}, None)[IMAGE]
    assert reference in done.stdout
    pushed = [line.split()[0] for line in docker.ask("image", "ls", f"{registry}/vision/{IMAGE}").splitlines()[1:]]
    assert pushed
    for name in docker.ask("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{registry}/vision/{IMAGE}").split():
        docker.ask("image", "rm", name)
    docker.ask("pull", reference)
    assert "update" in docker.ask("run", "--rm", reference, "--help")
    docker.ask("image", "rm", reference)
