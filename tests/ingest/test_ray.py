"""Ray Data decodes what the processes of one machine decode, to the byte."""

import subprocess
import sys
from pathlib import Path

from tests.ingest.datasets import clip, cut_clip, write_manifest
from tests.ingest.test_frame_folder import write_frames
from tests.video_files import moving_pictures, write_clip

PROGRAM = """
import sys
from pathlib import Path
import ray
from hazardline.ingest import stage
from hazardline.ingest.config import IngestConfig
from hazardline.progress import TextReporter

root, work = sys.argv[1], Path(sys.argv[2])
for name in ("processes", "ray"):
    import os
    os.environ["HAZARDLINE_DATASETS"] = str(work / f"store-{name}")
    (work / name).mkdir()
    config = IngestConfig(root=root, executor=name, dataset="mine", max_quarantined_share=0.5)
    stage.run(config, {}, work / name, TextReporter())
again = work / "again"
again.mkdir()
stage.run(config, {}, again, TextReporter())
ray.shutdown()
"""


def test_ray_gives_the_same_tables(tmp_path: Path) -> None:
    root = tmp_path / "footage"
    for k in range(3):
        write_clip(root / f"{k}.mp4", moving_pictures(k, 10))
    write_frames(root / "frames", ".png", 10)
    cut_clip(root / "cut.mp4")
    lines = [clip(f"c{k}", f"{k}.mp4") for k in range(3)]
    write_manifest(root, [*lines, clip("f", "frames", fps=10), clip("cut", "cut.mp4")])
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), str(work)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("decode clips: 5 of 5") == 2 and "4 clips, 1 in quarantine (truncated 1)" in done.stdout
    assert "nothing has changed since version" in done.stdout
    for name in ("features.parquet", "quarantine.parquet", "records.parquet"):
        assert (work / "processes" / name).read_bytes() == (work / "ray" / name).read_bytes()
