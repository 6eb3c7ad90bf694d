"""What the tests of containers do with this checkout: run its commands, give it a home, keep what a run left."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.docker.daemon import Daemon
from tests.team import Team

ROOT = Path(__file__).parents[2]
BUILT = ("hazardline-pipeline-python", "hazardline-device", "hazardline-mlflow")
RECIPE = ROOT / "recipes" / "crashchat_pocket_smoke.yaml"
USER = 10001


def run_pipelines(
    docker: Daemon, *arguments: str, root: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipelines`, of another checkout where one is given."""
    environment = {**os.environ, **docker.environment, "PYTHONPATH": f"{root / 'src'}:{root}", **variables}
    command = [sys.executable, "-m", "pipelines", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def new_home(path: Path) -> Path:
    """A home folder that containers may write to."""
    path.mkdir()
    os.chown(path, USER, USER)
    return path


@dataclass(frozen=True)
class Line:
    """What a run left, and what it ran against."""

    done: subprocess.CompletedProcess[str]
    home: Path
    team: Team

    @property
    def bundle(self) -> Path:
        (bundle,) = (self.home / "store" / "export").glob("*/output/bundle")
        return bundle
