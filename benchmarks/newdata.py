"""Time and memory of `hazardline newdata` over two versions of synthetic clips.

    python -m benchmarks.newdata --clips 1000000 --folder FOLDER

Writes a reference of nine tenths of the clips and a version of all of them (0.6 GB for a million), each as one row
group; FOLDER keeps them for the next time, and without it they are temporary. Then decides in a process of its own,
whose peak is read from `/proc`: that of `getrusage` begins with the memory of the process that started it.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.ingest.features import FEATURES
from hazardline.tables import SCENES, Table

_NEW_SHARE = 0.1
_MEASURE = """
import json, re, sys, time
from pathlib import Path
from hazardline.newdata.config import TriggerConfig
from hazardline.newdata.decide import decide
begun, used = time.perf_counter(), time.process_time()
trigger = decide(Path(sys.argv[1]), Path(sys.argv[2]), TriggerConfig())
print(json.dumps({
    "reference": trigger.reference.num_clips, "today": trigger.today.num_clips, "new": trigger.num_new,
    "wall_s": round(time.perf_counter() - begun, 1), "cpu_s": round(time.process_time() - used, 1),
    "peak_rss_mb": round(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6),
}))
"""


def scenes(num_clips: int) -> dict[str, Any]:
    """Columns of the scenes table; four clips a recording."""
    rng = np.random.default_rng(0)

    def drawn(*values: str) -> list[str]:
        return [values[k] for k in rng.integers(0, len(values), num_clips)]

    ids = [f"clip-{k:09}" for k in range(num_clips)]
    duration = np.round(rng.uniform(6, 40, num_clips), 3)
    columns: dict[str, Any] = {name: [None] * num_clips for name in SCENES.schema.names}
    return columns | {
        "clip_id": ids,
        "video_uri": [f"/data/{clip_id}.mp4" for clip_id in ids],
        "sha256": [hashlib.sha256(clip_id.encode()).hexdigest() for clip_id in ids],
        "size_bytes": rng.integers(10**6, 10**8, num_clips),
        "source": drawn("nexar", "dota", "ccd", "mm_au"),
        "label": drawn("crash", "near_miss", "normal"),
        "recording_id": [f"r{k // 4}" for k in range(num_clips)],
        "scenario": drawn(*(f"scenario_{k}" for k in range(20))),
        "weather": drawn("sunny", "rainy", "snowy", "foggy"),
        "light": drawn("day", "night"),
        "scene": drawn("urban", "rural", "highway"),
        "duration_s": duration,
        "fps": np.full(num_clips, 30.0),
        "num_frames": (duration * 30).astype(int),
        "width_px": np.full(num_clips, 1280),
        "height_px": np.full(num_clips, 720),
        "codec": drawn("h264", "hevc"),
        "agents": [["car", "truck"]] * num_clips,
        "crash_start_s": duration / 2,
        "description": [f"The ego vehicle follows a car that brakes hard; clip {clip_id}." for clip_id in ids],
        "cause": ["The distance was too short."] * num_clips,
    }


def features(ids: list[str]) -> dict[str, Any]:
    """Columns of the features table."""
    rng = np.random.default_rng(1)
    sizes = {"first_colour": 14, "clip_colour": 14, "motion_energy": 4}
    kind = pa.list_(pa.float64())
    lists = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(np.round(rng.random(len(ids) * size), 6)), size).cast(kind)
        for name, size in sizes.items()
    }
    return {"clip_id": ids, **lists}


def write(table: Table, folder: Path, columns: dict[str, Any]) -> None:
    """Write one table: its name in the metadata, all rows in one group, which is the most that a reader can meet."""
    arrays = {field.name: pa.array(columns[field.name], field.type) for field in table.schema}
    data = pa.table(arrays, schema=table.schema.with_metadata({"hazardline.table": table.name}))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(data, folder / table.file_name, compression="zstd")


def measure(num_clips: int, root: Path) -> None:
    """Write both versions below `root` where they are not there yet, decide, and print the figures."""
    sizes = {"reference": round(num_clips * (1 - _NEW_SHARE)), "today": num_clips}
    folders = {name: root / f"{name}-{size}" for name, size in sizes.items()}
    for name, folder in folders.items():
        if not (folder / FEATURES.file_name).exists():
            columns = scenes(sizes[name])
            write(SCENES, folder, columns)
            write(FEATURES, folder, features(columns["clip_id"]))
    command = [sys.executable, "-c", _MEASURE, str(folders["reference"]), str(folders["today"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    print(json.dumps(json.loads(done.stdout)))


def main() -> None:
    """Measure in the folder that is given, or in a temporary one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keeps both versions; else they are temporary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newdata-") as name:
        measure(arguments.clips, arguments.folder or Path(name))


if __name__ == "__main__":
    main()
