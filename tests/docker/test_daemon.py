"""A machine that does not let a daemon start is a reason to skip these tests; a daemon that is broken is none."""

import subprocess
from pathlib import Path

import pytest

from tests.docker.daemon import NotPermittedError, daemon

WITHOUT_CGROUPS = "umount --lazy /sys/fs/cgroup/* 2>/dev/null; umount --lazy /sys/fs/cgroup; exec"
TAKEN = {
    "capabilities": (["setpriv", "--bounding-set=-all", "--inh-caps=-all"], "operation not permitted"),
    "mounts": (["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], "overlay: operation not permitted"),
    "network": (["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"], "Permission denied"),
    "cgroups": (["unshare", "--mount", "sh", "-c", f'{WITHOUT_CGROUPS} "$@"', "sh"], "cgroup isn't mounted"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_machine_that_refuses_is_told_from_a_broken_daemon(programs: None, name: str, tmp_path: Path) -> None:
    wrapper, said = TAKEN[name]
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine lets nobody take them away: {tried.stderr.strip()}")
    with pytest.raises(NotPermittedError, match=said), daemon(tmp_path, wrapper):
        pass


def test_a_daemon_that_ends_for_another_reason_is_a_failure(programs: None, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(AssertionError, match="points to a file"), daemon(tmp_path):
        pass
