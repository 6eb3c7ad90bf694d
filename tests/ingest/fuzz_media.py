"""A program for `test_fuzz.py`: looks at damaged videos and images as ingest does.

    fuzz_media.py FOLDER WORK FIRST_SEED COUNT

Every seed damages one file of the folder and looks at it in an examining process (`hazardline.ingest.pool`, with its
limit of memory). The answer must be an inspection or a fault with a reason, within ten seconds. Prints one JSON
document.
"""

import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from hazardline.datasets.store import DatasetStore
from hazardline.file_digests import stamp_of
from hazardline.ingest.examine import Bench
from hazardline.ingest.executors import in_processes
from hazardline.ingest.inspection import Fault, Inspection
from hazardline.ingest.place import Media
from hazardline.ingest.work import Pending

MAX_S = 10.0
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0", b"\0\1\0\0")


def damage(data: bytes, random_: random.Random) -> bytes:
    """Few bytes, absurd numbers (many of them near the head, where sizes and counts stand), holes, and cuts."""
    for _ in range(random_.choice((1, 1, 2, 8))):
        span = len(data) if random_.random() < 0.5 else min(len(data), 1200)
        at = random_.randrange(max(1, span))
        kind = random_.randrange(6)
        if kind == 0:
            data = data[:at] + bytes([random_.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + random_.choice(NUMBERS) + data[at + 4 :]
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            to = min(len(data), at + random_.randint(1, 5000))
            data = data[:at] + data[to:]
        elif kind == 4:
            data = data[:at] + random_.randbytes(random_.randint(1, 64)) + data[at:]
        else:
            to = min(len(data), at + random_.randint(1, 3000))
            data = data[:to] + data[at:to] + data[to:]
    return data or b"\0"


def main() -> None:
    root, work, first, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    files = sorted(path for path in root.iterdir() if path.is_file())
    whole = {path: path.read_bytes() for path in files}
    bench = Bench.of_this_process(DatasetStore(work / "store"))
    begun: dict[int, float] = {}

    def pending() -> Iterator[Pending]:
        for seed in range(first, first + count):
            random_ = random.Random(f"media {seed}")
            path = random_.choice(files)
            damaged = work / f"{seed}{path.suffix}"
            damaged.write_bytes(damage(whole[path], random_))
            begun[seed] = time.monotonic()
            yield Pending(seed, Media("file", str(damaged), stamp_of(damaged.stat())))

    outcomes: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest_s = 0.0
    for seed, found in in_processes(pending(), bench, 1, MAX_S):
        slowest_s = max(slowest_s, time.monotonic() - begun[seed])
        result = found.result
        if isinstance(result, Inspection):
            outcomes["usable"] += 1
        elif isinstance(result, Fault) and result.detail:
            outcomes[result.reason if result.is_lasting else f"lost: {result.detail[:60]}"] += 1
            if "not decoded within" in result.detail:
                failures.append({"seed": seed, "what": result.detail})
        else:
            failures.append({"seed": seed, "what": repr(found)})
        for path in work.glob(f"{seed}.*"):
            path.unlink()
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"outcomes": outcomes, "failures": failures, "slowest_s": slowest_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
