"""The line of tiny stages, a few of them a pod: each pod has an empty home of its own, and the records."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hazardline.store import StageRecord
from tests.mirror.conftest import Bucket

ROOT = Path(__file__).parents[2]
TINY_STAGES = ROOT / "tests" / "pipelines" / "tiny_stages"
RECIPE = ROOT / "recipes" / "crashchat_pocket_smoke.yaml"


def pod(folder: Path, home: str, *stages: str, mirror: bool = True) -> subprocess.CompletedProcess[str]:
    (folder / "records").mkdir(exist_ok=True)
    places = [str(TINY_STAGES), str(ROOT), os.environ.get("PYTHONPATH", "")]
    changes = {"HAZARDLINE_HOME": str(folder / home), "PYTHONPATH": os.pathsep.join(filter(None, places))}
    environment = {**os.environ, **changes}
    for name in ("HAZARDLINE_STORE", "HAZARDLINE_DATASETS", *(() if mirror else ("HAZARDLINE_STORE_MIRROR",))):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tests.mirror.one_pod", str(folder / "records"), str(RECIPE), *stages]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def record(folder: Path, stage: str) -> StageRecord:
    return StageRecord.read(folder / "records" / f"{stage}.json")


def test_a_line_over_pods_with_disks_of_their_own(bucket: Bucket, tmp_path: Path) -> None:
    for home, stages in (("a", ("simulate", "ingest", "split")), ("b", ("synthesize", "train")), ("c", ("evaluate",))):
        done = pod(tmp_path, home, *stages)
        assert done.returncode == 0, done.stderr
        assert all(record(tmp_path, stage).output.is_relative_to(tmp_path / home) for stage in stages)
        if home != "c":
            shutil.rmtree(tmp_path / home)
    assert (record(tmp_path, "evaluate").output / "report.html").is_file()
    assert not (tmp_path / "c" / "store" / "simulate").exists(), "evaluate does not read it"

    assert pod(tmp_path, "d", "simulate", "ingest", "split", "train", "evaluate").returncode == 0
    assert all(record(tmp_path, stage).cached for stage in ("simulate", "ingest", "split", "train", "evaluate"))

    shutil.rmtree(tmp_path / "d")
    lost = pod(tmp_path, "e", "train", mirror=False)
    assert lost.returncode == 2 and "is gone; run the line again" in lost.stderr
