"""The systemd units and the cron line of `docs/systemd`, and their command on another machine."""

import shlex
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "systemd"
SERVICE = FOLDER / "hazardline-retrain.service"
TIMER = FOLDER / "hazardline-retrain.timer"
CRON = FOLDER / "hazardline-retrain.cron"


def unit(path: Path) -> ConfigParser:
    """A unit file, its keys as they are written."""
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def cron_line() -> str:
    """The one line of the cron file that is a schedule."""
    (line,) = [line for line in CRON.read_text().splitlines() if line[:1].isdigit()]
    return line


def exec_start(python: str, recipe: Path, lock: Path) -> list[str]:
    """What the service starts, with this machine's places in place of those of the unit."""
    command = shlex.split(unit(SERVICE)["Service"]["ExecStart"])
    places = {
        "/opt/hazardline/.venv/bin/python": python,
        "/etc/hazardline/fleet.yaml": str(recipe),
        "/var/lib/hazardline/retrain.lock": str(lock),
    }
    assert set(places) < set(command)
    return [places.get(word, word) for word in command]
