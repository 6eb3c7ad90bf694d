"""Whenever an update is killed, a slot verifies and answers, and the next update gets through."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.release.world import World

NUM_POINTS = 20
SEED = 7


def killed_at_points(root: Path, device: str, num_points: int) -> dict[str, Any]:
    program = Path(__file__).with_name("kill_points.py")
    done = subprocess.run(
        [sys.executable, str(program), str(root), device, str(num_points), str(SEED)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert len(found["results"]) == num_points
    # Health check and confirmation are among the points.
    assert sum(operation.startswith("subprocess.Popen") for operation in found["operations"]) == 2
    return found


def test_an_update_killed_at_twenty_points_leaves_a_slot_that_answers(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    world.release_version("1")
    assert world.update(world.device()).status == "installed"
    world.release_version("2")
    found = killed_at_points(tmp_path, "device", NUM_POINTS)
    assert found["num_operations"] > 2 * NUM_POINTS
    for result in found["results"]:
        assert result["killed"] is True, result
        assert result["answers"] is True, result
        assert result["version"] in (1, 2), result
        assert result["then"] in (["installed", 2], ["unchanged", 2]), result
        assert result["left"] == [], result


def test_a_first_installation_that_is_killed_is_completed_by_the_next_update(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    world.release_version("1")
    world.device()
    for result in killed_at_points(tmp_path, "device", 6)["results"]:
        assert result["killed"] is True, result
        assert result["answers"] is True or "no release is installed yet" in result["answers"], result
        assert result["then"] in (["installed", 1], ["unchanged", 1]), result
        assert result["left"] == [], result
