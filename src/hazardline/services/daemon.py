"""A process that outlives the command that starts it: which one it is, whether it lives, how it ends."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from hazardline.documents import Document
from hazardline.errors import UserError
from hazardline.files import digest_json
from hazardline.services.installation import Installation

LOG_LINES = 20
_POLL_S = 0.2
_LOG_BYTES = 20_000_000
"""A log that is larger is put aside at the next start; the one that was put aside before goes."""
_FOREIGN = ("MLFLOW_", "_MLFLOW_", "HAZARDLINE_", "AWS_", "PG", "CEPH_", "OPENAI_", "KFP_")
_children: list[subprocess.Popen[bytes]] = []
"""Processes that this one has started and that live on; Python complains where they are forgotten."""


class NotReadyError(Exception):
    """A service does not answer as it should; the text says how."""


class ProcessRecord(Document):
    """A process that was started. Its number alone may have passed to another one."""

    pid: int
    started_at: float
    """As the kernel says."""
    start_digest: str
    """Of command and environment: another one means that the service must be started anew."""


class Daemon:
    """One process and what it starts, in a session of their own."""

    def __init__(
        self, installation: Installation, name: str, command: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Refer to a process, which need not run.

        Args:
            installation: where its log and its record lie.
            name: for log, record and messages.
            command: it holds no secret: every user of the machine can read it. It names the installation's folder, or
                the environment does: leftovers are known by that.
            environment: on top of what is not somebody else's.
        """
        self.name = name
        self.log = installation.log(name)
        self._folder = installation.folder
        self._record = installation.folder / "run" / f"{name}.json"
        self._command = command
        self._environment = {**foreign_free_environment(), **(environment or {})}

    def process(self) -> psutil.Process | None:
        """The living process that was started last."""
        record = self._read()
        if record is None:
            return None
        try:
            process = psutil.Process(record.pid)
            is_it = process.create_time() == record.started_at and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if is_it else None

    def is_outdated(self) -> bool:
        """Whether it was started with another command or environment than it would be now."""
        record = self._read()
        return record is None or record.start_digest != self._digest()

    def start(self, port: int | None = None) -> None:
        """Start it, after what a killed predecessor left running has been ended.

        Args:
            port: where it will listen.

        Raises:
            UserError: somebody else listens there.
        """
        self.stop()
        if port is not None and is_listening(port):
            raise UserError(f"{self.name}: port {port} is taken by another program; give another one (`--help`)")
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.rename(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            child = subprocess.Popen(  # noqa: S603 - an argument list of our own
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder / "run",
                start_new_session=True,
                umask=0o077,
            )
        _children.append(child)
        started_at = psutil.Process(child.pid).create_time()
        ProcessRecord(pid=child.pid, started_at=started_at, start_digest=self._digest()).write(self._record)

    def stop(self, timeout_s: float = 60.0) -> None:
        """End it in an orderly way, or by force where that takes too long; then whatever it started."""
        process = self.process()
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout_s)
            except psutil.TimeoutExpired:
                process.kill()
        leftovers = self._leftovers()
        for left in leftovers:
            left.kill()
        psutil.wait_procs([*leftovers, *([process] if process else [])], timeout=timeout_s)
        self._record.unlink(missing_ok=True)

    def wait_until_ready(self, check: Callable[[], None], timeout_s: float) -> None:
        """Return when the check passes.

        Raises:
            UserError: the process ended, or the check still fails after `timeout_s`; with the end of the log.
        """
        wait_until_ready(self.name, check, lambda: self.process() is not None, self.log, timeout_s)

    def _leftovers(self) -> list[psutil.Process]:
        """Living members of its session. A number is not given anew while a session of that number has members."""
        record = self._read()
        if record is None:
            return []
        found = []
        for process in psutil.process_iter():
            try:
                is_member = os.getsid(process.pid) == record.pid and process.create_time() >= record.started_at
                if is_member and process.status() != psutil.STATUS_ZOMBIE and self._is_named(process):
                    found.append(process)
            except (ProcessLookupError, PermissionError, psutil.Error):
                continue
        return found

    def _is_named(self, process: psutil.Process) -> bool:
        said = [*process.cmdline(), *process.environ().values()]
        return any(str(self._folder) in text for text in said)

    def _digest(self) -> str:
        own = {name: value for name, value in self._environment.items() if name.startswith(_FOREIGN)}
        return digest_json([self._command, own])

    def _read(self) -> ProcessRecord | None:
        return ProcessRecord.read(self._record) if self._record.exists() else None


def foreign_free_environment() -> dict[str, str]:
    """This process's environment without settings and secrets of clients, which are no affair of a server's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def wait_until_ready(
    name: str, check: Callable[[], None], is_alive: Callable[[], bool], log: Path, timeout_s: float
) -> None:
    """Return when the check passes; errors as in `Daemon.wait_until_ready`."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            check()
            return
        except NotReadyError as error:
            if not is_alive():
                raise UserError(f"{name} ended instead of starting. {end_of(log)}") from None
            if time.monotonic() > give_up_at:
                raise UserError(f"{name} does not answer after {timeout_s:.0f} s: {error}. {end_of(log)}") from None
        time.sleep(_POLL_S)


def is_listening(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end_of(log: Path) -> str:
    """The last lines of a log, and where it is."""
    if not log.exists():
        return f"It wrote no log ({log})"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join([f"The end of {log}:", *lines])


def run_command(
    command: list[str], *, what: str, environment: Mapping[str, str] | None = None, timeout_s: float = 300.0
) -> str:
    """Run a command to its end; what it printed.

    Raises:
        UserError: it failed, with what it said.
    """
    try:
        done = subprocess.run(  # noqa: S603 - an argument list of our own
            command,
            env={**foreign_free_environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{what}: `{command[0]}` took longer than {timeout_s:.0f} s") from None
    if done.returncode:
        raise UserError(f"{what}: `{command[0]}` failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    return done.stdout
