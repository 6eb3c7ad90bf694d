"""How fast a few frames of a clip are decoded on this machine, beside decoding all of it and beside other libraries.

Run on a quiet machine: `python -m benchmarks.decode --media FOLDER` writes `benchmarks/results/decode.json`; without a
folder of real clips a made one is measured. Everything has one thread. The ways take turns; a row has medians, and
ratios are of processor time, which others on the machine disturb less. Peers are used where they can be imported:
`pip install --target .bench/decode-peers --no-deps -r benchmarks/decode_requirements.txt`.
"""

import argparse
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.decoding.cases import cases
from benchmarks.decoding.measure import row_of, summary
from hazardline import video
from hazardline.files import write_json

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / ".bench" / "decode"
PEERS = ROOT / ".bench" / "decode-peers"


def with_libraries() -> None:
    """Begin again with FFmpeg's libraries for torchcodec: the machine's, or those that PyAV carries, and the peers."""
    if "HAZARDLINE_BENCH_LIBRARIES" in os.environ:
        return
    folder = CLIPS / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    for file in metadata.files("av") or []:
        name = Path(str(file)).name
        if name.startswith(("libav", "libsw")) and ".so." in name:
            stem, _, version = name.partition(".so.")
            link = folder / f"{stem.rsplit('-', 1)[0]}.so.{version.split('.')[0]}"
            link.unlink(missing_ok=True)
            link.symlink_to(str(file.locate()))
    paths = {
        "PYTHONPATH": [str(PEERS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)],
        "LD_LIBRARY_PATH": [*os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), str(folder)],
    }
    joined = {name: os.pathsep.join(part for part in parts if part) for name, parts in paths.items()}
    environment = {**os.environ, **joined, "HAZARDLINE_BENCH_LIBRARIES": "set", "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks.decode", *sys.argv[1:]], environment)  # noqa: S606 - our own interpreter


def version_of(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Measure, print, and write the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decode.json")
    parser.add_argument("--media", type=Path, help="folder of real clips (.mp4, .avi)")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with_libraries()
    video.use_pyav("ours is measured on this path; torchcodec stands beside it")
    CLIPS.mkdir(parents=True, exist_ok=True)
    load = [round(one, 2) for one in os.getloadavg()]
    rows = []
    for case in cases(arguments.media, CLIPS):
        rows.append(row_of(case, arguments.rounds))
        print(rows[-1]["clip"], "|", case.variant, "|", json.dumps(rows[-1]["times_faster_than"]), flush=True)
    document = {
        "benchmark": "decode",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": 1,
            "load_before": load,
            "load_after": [round(one, 2) for one in os.getloadavg()],
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "versions": {name: version_of(name) for name in ("av", "decord", "torchcodec", "torch", "numpy")},
        "rounds": arguments.rounds,
        "geometric_mean_times_faster": summary(rows),
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, document)
    print(json.dumps(document["geometric_mean_times_faster"], indent=2))


if __name__ == "__main__":
    main()
