"""A very small bundle runtime as a program, for tests: answers depend on every byte of the bundle's model and adapters.

    tiny_probe.py BUNDLE REQUEST.json REPORT.json

It keeps to the contract of `hazardline.device.probe`, in the standard library alone, so that it starts in milliseconds.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

PARTS = ("decoder.onnx", "linguistic.onnx_adapter", "perception.onnx_adapter")


def answer(bundle: Path, clip: Path) -> dict[str, str]:
    """What a bundle says of a clip: a function of their bytes."""
    digest = hashlib.sha256()
    for path in (*(bundle / part for part in PARTS), clip):
        digest.update(path.read_bytes())
    said = digest.digest()
    if said[0] % 2:
        return {"crash_recognition": "No", "crash_description": "no collision."}
    return {"crash_recognition": "Yes", "crash_localization": f"{said[1] / 100:.1f} - {said[1] / 50:.1f} seconds"}


def main(bundle: Path, request: Path, report: Path) -> int:
    began = time.perf_counter()
    if (bundle / "decoder.onnx").read_bytes().startswith(b"crashes"):
        print("this bundle crashes", file=sys.stderr)
        return 70
    if (bundle / "decoder.onnx").read_bytes().startswith(b"hangs"):
        time.sleep(60)
    clips = [
        {"clip": clip, "answers": answer(bundle, Path(clip)), "latency_s": time.perf_counter() - began}
        for clip in json.loads(request.read_text())
    ]
    report.write_text(json.dumps({"clips": clips, "load_s": 0.0, "peak_memory_mb": 10.0}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
