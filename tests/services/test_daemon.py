"""Processes that outlive the command that started them."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hazardline.errors import UserError
from hazardline.services.daemon import Daemon, NotReadyError, ProcessRecord
from hazardline.services.installation import Installation

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]])
print("child", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path / "services")
    installation.prepare()
    return installation


@pytest.fixture
def family(installation: Installation) -> Iterator[Daemon]:
    """A process with a child."""
    daemon = Daemon(installation, "family", [sys.executable, "-c", PARENT, str(installation.folder)])
    daemon.start()
    daemon.wait_until_ready(says(daemon.log, "child"), 60)
    yield daemon
    daemon.stop()


def says(log: Path, word: str) -> Callable[[], None]:
    def check() -> None:
        if word not in log.read_text():
            raise NotReadyError(f"it does not say {word}")

    return check


def child_of(daemon: Daemon) -> psutil.Process:
    return psutil.Process(int(daemon.log.read_text().split()[-1]))


def test_what_a_killed_process_left_is_ended_with_it(family: Daemon) -> None:
    process, child = family.process(), child_of(family)
    assert process is not None
    process.kill()
    process.wait(30)
    assert family.process() is None and child.is_running()
    family.stop()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_number_that_passed_to_another_process_is_not_ours(installation: Installation, family: Daemon) -> None:
    record = installation.folder / "run" / "family.json"
    mine = ProcessRecord.read(record)
    other = Daemon(installation, "other", ["true"])
    strange = ProcessRecord(pid=os.getpid(), started_at=psutil.Process().create_time() - 60, start_digest="")
    strange.write(installation.folder / "run" / "other.json")
    assert other.process() is None
    other.stop()
    assert family.process() is not None and family.process().pid == mine.pid  # type: ignore[union-attr]


def test_it_outlives_and_stays_what_it_was(installation: Installation, family: Daemon) -> None:
    again = Daemon(installation, "family", [sys.executable, "-c", PARENT, str(installation.folder)])
    assert again.process() == family.process() and not again.is_outdated()
    changed = Daemon(installation, "family", ["x"], {"MLFLOW_A": "1"})
    assert changed.is_outdated()


def test_one_that_ends_at_once_is_told_with_the_end_of_its_log(installation: Installation) -> None:
    daemon = Daemon(installation, "short", ["sh", "-c", "seq 100; echo cannot bind >&2; exit 3"])
    daemon.start()

    def check() -> None:
        raise NotReadyError("nobody listens")

    with pytest.raises(UserError, match="short ended instead of starting") as raised:
        daemon.wait_until_ready(check, 60)
    lines = str(raised.value).splitlines()
    assert str(daemon.log) in lines[0] and lines[-1] == "cannot bind" and len(lines) < 30


def test_one_that_never_answers_is_given_up(family: Daemon) -> None:
    with pytest.raises(UserError, match=r"family does not answer after 0 s: it does not say done"):
        family.wait_until_ready(says(family.log, "done"), 0.2)


def test_a_taken_port_is_named(installation: Installation) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is taken by another program"):
            Daemon(installation, "late", ["true"]).start(port)


def test_secrets_of_clients_do_not_reach_a_service(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAZARDLINE_ANNOTATOR_KEY", "canary")
    monkeypatch.setenv("AWS_PROFILE", "canary")
    daemon = Daemon(installation, "env", ["sh", "-c", "env; sleep 60"], {"AWS_ACCESS_KEY_ID": "its-own"})
    daemon.start()
    daemon.wait_until_ready(says(daemon.log, "its-own"), 60)
    assert "canary" not in daemon.log.read_text()
    daemon.stop()


def test_one_that_does_not_listen_is_killed(installation: Installation) -> None:
    command = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\n",
    ]
    command[-1] += "time.sleep(600)"
    daemon = Daemon(installation, "deaf", command)
    daemon.start()
    daemon.wait_until_ready(says(daemon.log, "deaf"), 60)
    daemon.stop(timeout_s=0.3)
    assert daemon.process() is None


def test_the_signal_is_the_one_for_an_orderly_end(installation: Installation) -> None:
    script = "import signal, sys, time\nsignal.signal(15, lambda *a: (print('saved', flush=True), sys.exit()))\n"
    daemon = Daemon(installation, "tidy", [sys.executable, "-c", script + "print('up', flush=True); time.sleep(600)"])
    daemon.start()
    daemon.wait_until_ready(says(daemon.log, "up"), 60)
    daemon.stop()
    assert "saved" in daemon.log.read_text()
