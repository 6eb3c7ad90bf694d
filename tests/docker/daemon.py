"""Docker for tests: a daemon of its own, without a registry, and a base image made of Debian's packages.

A folder of the user's keeps the daemon's data from run to run: a build that has not changed takes seconds then.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "HAZARDLINE_TEST_DOCKER"
DEBIAN_BASE, BASE = "hazardline-test-debian", "hazardline-test-base"
CLIENT = "/usr/bin/docker"
"""Of the package docker.io: a newer client without buildx refuses BuildKit."""
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NEEDED = {"dockerd": "docker.io", CLIENT: "docker.io", "mmdebstrap": "mmdebstrap", "docker-registry": "docker-registry"}
PACKAGES = "ca-certificates,python3,python3-venv"
START_TIMEOUT_S = 60
NOT_PERMITTED = re.compile(
    r"failed to mount overlay: [^\"]+"
    r"|(?i:failed to (?:start daemon|load listeners): .*(?:not permitted|permission denied|cgroup isn't mounted))"
)
"""What the daemon says where it may not mount, set up a network or limit memory: in a container without privileges."""
CI_BASE = """ARG DEBIAN_BASE
FROM ${DEBIAN_BASE}
COPY ca.crt /usr/local/share/ca-certificates/host.crt
ENV PIP_CERT=/usr/local/share/ca-certificates/host.crt SSL_CERT_FILE=/usr/local/share/ca-certificates/host.crt
"""
"""What the Dockerfiles must not know: the certificates of this machine, which may reach package indexes by a proxy."""


def what_is_missing() -> str | None:
    """Why these tests cannot run here, or None."""
    if not os.environ.get(VARIABLE):
        return (
            f"{VARIABLE} names no folder: with one, images are really built and the line runs in them "
            "(docker/README.md says what that takes)"
        )
    if os.getuid() != 0:
        return "dockerd and mmdebstrap take root"
    absent = sorted({package for program, package in NEEDED.items() if shutil.which(program) is None})
    return f"apt-get install {' '.join(absent)} (not found)" if absent else None


class NotPermittedError(Exception):
    """The machine does not let a daemon do its work; the text is the daemon's."""


class Daemon:
    """A running daemon, spoken to by Docker's own client."""

    def __init__(self, socket: Path) -> None:
        self.environment = {"DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "1"}

    def ask(self, *arguments: str, status: int = 0, stdin: str | None = None) -> str:
        """Run the client; what it printed, errors included."""
        done = subprocess.run(
            [CLIENT, *arguments],
            env={**os.environ, **self.environment},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"docker {arguments[0]}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def answers(self) -> bool:
        """Whether it is up."""
        done = subprocess.run([CLIENT, "info"], env={**os.environ, **self.environment}, capture_output=True)
        return done.returncode == 0

    def has(self, image: str) -> bool:
        return bool(self.ask("image", "ls", "--quiet", image).strip())


@contextmanager
def daemon(folder: Path, wrapper: Sequence[str] = ()) -> Iterator[Daemon]:
    """A daemon whose data lie in a folder, for the length of a block.

    Args:
        folder: made where it is missing.
        wrapper: a command that runs the daemon's.

    Raises:
        NotPermittedError: it ended, for lack of privileges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    running = Path(tempfile.mkdtemp(prefix="hzl-docker-"))  # a socket's path may not be long
    command = ["setpriv", "--pdeathsig", "TERM", *wrapper, "dockerd", "--log-level", "warn"]  # none outlives the tests
    command += ["--storage-driver", "overlay2"]  # what it falls back to copies an image for each of its layers
    command += ["--data-root", folder / "data"]
    command += ["--exec-root", running / "exec", "--pidfile", running / "pid", "--host", f"unix://{running / 'socket'}"]
    log_path = folder / "dockerd.log"
    with (folder / "lock").open("w") as lock, log_path.open("w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may be dealt out to several processes, and a folder has one daemon
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            found = Daemon(running / "socket")
            give_up_at = time.monotonic() + START_TIMEOUT_S
            while process.poll() is None and not found.answers():
                assert time.monotonic() < give_up_at, log_path.read_text()
                time.sleep(0.2)
            if process.poll() is not None:
                said = log_path.read_text()
                refused = NOT_PERMITTED.findall(said)
                assert refused, said
                raise NotPermittedError(refused[-1])
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
            for mounted in (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()):
                if Path(mounted).is_relative_to(running):  # the network of containers in this machine's own
                    subprocess.run(["umount", mounted], check=True)
            shutil.rmtree(running)


def make_base(docker: Daemon, work: Path) -> str:
    """Name of a base image: Debian with Python, and this machine's certificates."""
    if not docker.has(DEBIAN_BASE):
        archive = work / "debian.tar"
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", archive], check=True
        )
        docker.ask("import", str(archive), DEBIAN_BASE)
        archive.unlink()
    context = work / "base"
    context.mkdir()
    shutil.copyfile(CA_BUNDLE, context / "ca.crt")
    (context / "Dockerfile").write_text(CI_BASE)
    docker.ask("build", "--build-arg", f"DEBIAN_BASE={DEBIAN_BASE}", "--tag", BASE, str(context))
    return BASE
