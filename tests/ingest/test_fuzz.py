"""Thousands of damaged inputs: no traceback, no hang, no memory without bound, and nothing lost without a reason.

More of the same: HAZARDLINE_TEST_FUZZ=10 takes ten times as many.
"""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hazardline.progress import SilentReporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.layouts.registry import WRITERS
from hazardline.simulate.stage import run
from hazardline.tables import QUARANTINE, SCENES, read_table
from tests.ingest.datasets import clip, write_manifest
from tests.ingest.test_frame_folder import write_frames
from tests.video_files import moving_pictures, write_blank, write_clip

TIMES = int(os.environ.get("HAZARDLINE_TEST_FUZZ", "1"))
NUM_ANNOTATIONS = 200 * TIMES
"""For each data set."""
NUM_MEDIA = 1000 * TIMES
NUM_RUNS = 15 * TIMES
"""Of the whole stage, for each data set."""
MAX_MB = 2048
MAX_S = 10
PEAK_MB = "max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1024"
"""In a program: what it and its processes took at most."""
VIDEOS = SimulateConfig(num_pairs=5, num_normal=4, min_clip_s=5.0, max_clip_s=6.0, width_px=96, height_px=64, seed=5)
IMAGES = SimulateConfig(media="image", num_pairs=4, num_normal=8, width_px=96, height_px=64, seed=5)
SOURCES = ("nexar", "mm_au", "dada2000", "ccd", "dota", "badas", "drama", "d2_city", "crashchat", "hazardqa")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name, config in (("videos", VIDEOS), ("images", IMAGES)):
        folders[name] = tmp_path_factory.mktemp(name)
        run(config, {}, folders[name], SilentReporter())
    return folders


def _run(program: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name(program)), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900 * TIMES)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert not found["failures"], found["failures"][:3]
    assert found["slowest_s"] < MAX_S and found["peak_mb"] < MAX_MB
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_damaged_annotations(source: str, simulated: dict[str, Path], tmp_path: Path) -> None:
    WRITERS[source](simulated["images" if source in ("drama", "hazardqa") else "videos"], tmp_path)
    found = _run("fuzz_annotations.py", source, tmp_path, 0, NUM_ANNOTATIONS)
    outcomes = Counter(found["outcomes"])
    assert outcomes.total() == NUM_ANNOTATIONS
    assert outcomes["refused"] + outcomes["with problems"] > NUM_ANNOTATIONS / 10, "the damage does nothing"


@pytest.mark.parametrize("source", SOURCES)
def test_the_stage_over_damaged_annotations_and_media(source: str, simulated: dict[str, Path], tmp_path: Path) -> None:
    root, work = tmp_path / "root", tmp_path / "work"
    root.mkdir()
    (work / "whole").mkdir(parents=True)
    WRITERS[source](simulated["images" if source in ("drama", "hazardqa") else "videos"], root)
    found = _run("fuzz_ingest.py", source, root, work, 0, NUM_RUNS)
    outcomes = Counter(found["outcomes"])
    assert outcomes.total() == NUM_RUNS and outcomes["all clips"] < 0.6 * NUM_RUNS, "the damage does nothing"
    assert source == "hazardqa" or outcomes["media: with quarantine"], "damaged clips are taken"


def test_damaged_videos_and_images(tmp_path: Path) -> None:
    media, work = tmp_path / "media", tmp_path / "work"
    work.mkdir()
    for number, name in enumerate(("a.mp4", "b.avi", "c.mkv", "d.mov", "e.ts")):
        write_clip(media / name, moving_pictures(number, 12))
    (picture,) = moving_pictures(3, 1)
    Image.fromarray(picture).save(media / "g.png")
    Image.fromarray(picture).save(media / "h.jpg")
    found = _run("fuzz_media.py", media, work, 0, NUM_MEDIA)
    outcomes = Counter(found["outcomes"])
    assert outcomes.total() == NUM_MEDIA and outcomes["usable"] < 0.6 * NUM_MEDIA
    assert outcomes["truncated"] and outcomes["unreadable"]


def write_blank_png(path: Path, width: int, height: int) -> None:
    """A valid black image of one bit a pixel, written without ever being in memory (a peak here would be inherited)."""
    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    with path.open("wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in chunks:
            stream.write(struct.pack(">I", len(content)) + kind + content)
            stream.write(struct.pack(">I", zlib.crc32(kind + content)))


def test_bombs(tmp_path: Path) -> None:
    """Small files that promise to become huge, through the command."""
    root = tmp_path / "bombs"
    write_clip(root / "good.mp4", moving_pictures(0, 12))
    for name, size in (("wide.png", (60_000, 60_000)), ("tall.png", (1, 200_000))):
        write_blank_png(root / name, *size)
    data = bytearray((root / "good.mp4").read_bytes())
    for box in (b"mvhd", b"mdhd", b"tkhd"):
        at = data.index(box)
        data[at + 16 : at + 24] = b"\x7f\xff\xff\xff" * 2
    (root / "long.mp4").write_bytes(bytes(data))
    at = data.index(b"avc1")
    data[at + 28 : at + 32] = b"\xff\xff\xff\xff"
    (root / "huge.mp4").write_bytes(bytes(data))
    frames = write_frames(root / "frames", ".png", 3)
    write_blank_png(frames[1], 60_000, 60_000)
    os.mkfifo(root / "pipe.mp4")
    (root / "device.mp4").symlink_to("/dev/zero")
    names = ("good.mp4", "wide.png", "tall.png", "long.mp4", "huge.mp4", "pipe.mp4", "device.mp4")
    lines = [{"clip_id": name, "video": name, "label": "normal"} for name in names]
    lines.append({"clip_id": "frames", "video": "frames", "label": "normal", "fps": 10})
    (root / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    program = (
        "import resource, sys; sys.argv = ['hazardline', 'ingest', '--root', sys.argv[1], '--out', sys.argv[2]]\n"
        "from hazardline.cli.main import main\n"
        f"try: main()\nfinally: print({PEAK_MB})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root), str(tmp_path / "out")], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
    assert "6 of 8 clips cannot be used" in done.stderr, done.stderr
    assert int(done.stdout.splitlines()[-1]) < MAX_MB


def test_whole_files_that_would_take_minutes_to_decode(tmp_path: Path) -> None:
    """Nothing is wrong with them but that so few bytes become so many pictures; an honest long clip is accepted."""
    root = tmp_path / "bombs"
    write_blank(root / "long.mp4", (64, 100, 12), fps=1)
    write_blank(root / "vast.mp4", (4096, 30, 300))
    write_blank(root / "grows.ts", (64, 10, 1), (4096, 30, 14))
    write_blank(root / "hours.mp4", (64, 100, 72), fps=1)
    write_blank(root / "fast.mp4", (64, 100, 2600), fps=200)
    assert sum(path.stat().st_size for path in root.iterdir()) < 24_000_000
    found_by = {"vast.mp4": "pixels", "grows.ts": "pixels", "hours.mp4": "limits", "fast.mp4": "limits"}
    lines = [clip(name, name) for name in ("long.mp4", *found_by)]
    write_manifest(root, lines)
    program = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from hazardline.ingest.config import IngestConfig\nfrom hazardline.ingest.stage import run\n"
        "from hazardline.progress import SilentReporter\n"
        "if __name__ == '__main__':\n"
        f"    config = IngestConfig(root=sys.argv[1], clip_timeout_s={MAX_S}, max_quarantined_share=1, num_workers=1)\n"
        f"    run(config, {{}}, Path(sys.argv[2]), SilentReporter())\n    print({PEAK_MB})\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run([sys.executable, "-c", program, root, out], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [scene["clip_id"] for scene in read_table(SCENES, out)] == ["long.mp4"]
    details = {row["clip_id"]: row["detail"] for row in read_table(QUARANTINE, out)}
    assert set(details) == set(found_by)
    assert all(word in details[name] and "within" not in details[name] for name, word in found_by.items()), details
    assert int(done.stdout.splitlines()[-1]) < MAX_MB
