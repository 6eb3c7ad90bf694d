"""Near duplicates among many synthetic fingerprints, in a process of its own: time and peak memory.

`python -m benchmarks.planted.scale CLIPS CONTENT FOLDER` prints one JSON line; with `write` behind it, it makes the
table, whose memory then is none of the search.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hazardline.ingest.fingerprints import FINGERPRINTS, NUM_WORDS, frames_of
from hazardline.split.frame_store import FrameStore
from hazardline.split.near_duplicates import links
from hazardline.tables import read_rows

NUM_ROWS = 20
"""Of a clip of 8 s."""
COPY_EVERY = 50
"""So many clips have one planted copy, the clip before it."""
COPY_ERROR = 0.05
"""Share of the bits that differ in a copy."""
MAX_DISTANCE = 0.3
_BATCH = 15_000  # whole stretches of COPY_EVERY


def _frames(content: str, num: int, rng: np.random.Generator) -> np.ndarray:
    """uint64 (num, rows, words) of clips: `distinct` with planted copies, or all `equal`."""
    if content == "equal":
        clip = np.random.default_rng(0).integers(1, 1 << 63, (NUM_ROWS, NUM_WORDS), np.uint64)
        return np.broadcast_to(clip, (num, NUM_ROWS, NUM_WORDS))
    frames = rng.integers(1, 1 << 64, (num, NUM_ROWS, NUM_WORDS), np.uint64)
    base = frames[COPY_EVERY - 2 :: COPY_EVERY]
    flips = np.packbits(rng.random((*base.shape, 64)) < COPY_ERROR, axis=3, bitorder="little").view(np.uint64)[..., 0]
    frames[COPY_EVERY - 1 :: COPY_EVERY][: len(base)] = base ^ flips
    return frames


def write_fingerprints(folder: Path, content: str, num_clips: int) -> None:
    """A table of synthetic fingerprints."""
    rng = np.random.default_rng(0)
    schema = FINGERPRINTS.schema.with_metadata({b"hazardline.table": FINGERPRINTS.name.encode()})
    with pq.ParquetWriter(folder / FINGERPRINTS.file_name, schema, compression="none") as writer:
        for start in range(0, num_clips, _BATCH):
            num = min(_BATCH, num_clips - start)
            ids = [f"{start + k:08}" for k in range(num)]
            data = [clip.tobytes() for clip in _frames(content, num, rng)]
            writer.write_batch(pa.record_batch([ids, data], schema=schema))


def _clips(folder: Path) -> Iterator[np.ndarray]:
    for row in read_rows(FINGERPRINTS, folder, batch_rows=1024):
        yield frames_of(row["frames"])


def _peak_rss_kib() -> int:
    """Of this program; what getrusage says begins with the memory of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    """Measure one case."""
    num_clips, content, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    if sys.argv[4:] == ["write"]:
        write_fingerprints(folder, content, num_clips)
        return
    start, start_cpu = time.perf_counter(), time.process_time()
    store = FrameStore(folder / "frames", _clips(folder))
    num_links = num_planted = 0
    for link in links(store, MAX_DISTANCE, folder):
        num_links += 1
        num_planted += link.second - link.first == 1 and link.second % COPY_EVERY == COPY_EVERY - 1
    store.close()
    result = {
        "clips": num_clips,
        "content": content,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - start_cpu, 1),
        "peak_rss_mib": round(_peak_rss_kib() / 1024, 1),
        "links": num_links,
    }
    if content == "distinct":
        planted = num_clips // COPY_EVERY
        result |= {"planted": planted, "recall": round(num_planted / planted, 5), "others": num_links - num_planted}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
