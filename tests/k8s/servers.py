"""PostgreSQL for tests, and ports for servers."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres_server() -> Iterator[dict[str, str]]:
    """Libpq's variables for a server that runs for the length of a block. Without PostgreSQL the test is skipped."""
    programs = _postgres_programs()
    if programs is None or shutil.which("pg_dump") is None:
        pytest.skip("PostgreSQL's server or its client is missing (Debian: postgresql)")
    # pytest's own folders are closed to others, and PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory(prefix="hz-pg-") as name:
        folder, as_user = Path(name), {}
        (folder / "password").write_text("of-the-test")
        if os.geteuid() == 0:
            as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody")
        port = free_port()
        quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, **as_user}
        initdb = [str(programs / "initdb"), "--no-sync", "--auth=scram-sha-256", f"--pwfile={folder}/password"]
        subprocess.run([*initdb, "-U", "hazardline", "-D", f"{folder}/data"], **quiet)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        control = [str(programs / "pg_ctl"), "-D", f"{folder}/data", "-w"]
        subprocess.run([*control, "-l", f"{folder}/log", "-o", options, "start"], **quiet)
        try:
            yield {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "hazardline", "PGPASSWORD": "of-the-test"}
        finally:
            subprocess.run([*control, "-m", "fast", "stop"], **quiet)


def _postgres_programs() -> Path | None:
    """Folder of PostgreSQL's programs; Debian keeps those of the server out of PATH."""
    found = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None
