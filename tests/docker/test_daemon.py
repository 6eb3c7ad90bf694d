"""A machine that does not let a daemon start is a reason to skip these tests; a daemon that is broken is none."""

import subprocess
from pathlib import Path

import pytest

from tests.docker.daemon import NotPermittedError, daemon

WITHOUT_CGROUPS = "umount --lazy /sys/fs/cgroup/* 2>/dev/null; umount --lazy /sys/fs/cgroup; exec"
TAKEN = {
    "capabilities": ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    "mounts": ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"],
    "network": ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"],
    "cgroups": ["unshare", "--mount", "sh", "-c", f'{WITHOUT_CGROUPS} "$@"', "sh"],
}
"""Commands that run another one without these."""


@pytest.mark.parametrize("name", TAKEN)
def test_a_machine_that_refuses_is_told_from_a_broken_daemon(programs: None, name: str, tmp_path: Path) -> None:
    tried = subprocess.run([*TAKEN[name], "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine lets nobody take them away: {tried.stderr.strip()}")
    with pytest.raises(NotPermittedError), daemon(tmp_path, TAKEN[name]):
        pass


def test_a_daemon_that_ends_for_another_reason_is_a_failure(programs: None, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(AssertionError, match="points to a file"), daemon(tmp_path):
        pass
