"""The timer's units and the cron line: what they start, when, and that one runs at a time."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.retrain.units import CRON, SERVICE, TIMER, cron_line, exec_start, unit

BUSY = 75


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing (Debian: systemd)")
    if shutil.which("flock") is None:
        pytest.skip("flock is missing (Debian: util-linux)")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(SERVICE), str(TIMER)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    wrong = tmp_path / SERVICE.name
    wrong.write_text(SERVICE.read_text().replace("KillMode", "KilMode"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(wrong)], capture_output=True, text=True, check=False
    )
    assert "KilMode" in done.stderr, "a misspelt key is noticed"
    calendar = unit(TIMER)["Timer"]["OnCalendar"]
    assert subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, check=False).returncode == 0


def test_timer_and_cron_start_the_same_at_the_same_time() -> None:
    service = unit(SERVICE)["Service"]
    minute, hour, day, month, weekday, user, *words = cron_line().split()
    assert (day, month, weekday) == ("*", "*", "*") and user == service["User"]
    assert unit(TIMER)["Timer"]["OnCalendar"] == f"*-*-* {int(hour):02}:{int(minute):02}:00"
    assert " ".join(words).endswith(f"exec {service['ExecStart']}")
    assert f". {service['EnvironmentFile']} " in cron_line()
    assert f"\n{service['Environment']}\n" in CRON.read_text()
    assert SERVICE.stem == TIMER.stem, "the timer starts the unit of its name"


def test_no_secret_stands_in_the_files() -> None:
    for path in (SERVICE, TIMER, CRON):
        assert "SECRET=" not in path.read_text()


def test_a_run_that_finds_another_one_at_work_ends_and_is_no_failure(tmp_path: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("flock is missing (Debian: util-linux)")
    lock = tmp_path / "retrain.lock"
    command = exec_start(sys.executable, tmp_path / "no_recipe.yaml", lock)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (BUSY, "")
    assert str(BUSY) == unit(SERVICE)["Service"]["SuccessExitStatus"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 2 and "no_recipe.yaml" in done.stderr, "with the lock free the command itself runs"
