"""How fast the clip simulator is on this machine: clips a minute of the whole stage, and where the time goes.

Run on a quiet machine: `python -m benchmarks.simulate` writes `benchmarks/results/simulate.json`. The stage is timed as
users run it (sampling, pairing and rejection included; the start of a worker taken off); the phases are timed
in this process on the same scenes, in processor seconds.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hazardline.files import write_json
from hazardline.progress import SilentReporter
from hazardline.simulate import clip, outcome, render, scene, twins
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.scene import SceneName, make_scene
from hazardline.simulate.stage import run


class Stopwatch:
    """Processor seconds spent inside wrapped functions, without those of wrapped functions called from them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[float] = []

    def wrap(self, owner: Any, name: str, phase: str) -> None:
        """Replace `owner.name` by a version that is timed as `phase`."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            self._open.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                total = time.process_time() - start
                self.seconds[phase] += total - self._open.pop()
                if self._open:
                    self._open[-1] += total

        setattr(owner, name, timed)


def time_stage(config: SimulateConfig) -> dict[str, Any]:
    """Wall time of the whole stage; the first start of its workers is measured apart and taken off."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = run(config, {}, Path(folder), SilentReporter())
        wall_s = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.mp4"))
    start_s = time_worker_start()
    clips = summary["clips"]
    return {
        "clips": clips,
        "wall_s": round(wall_s, 2),
        "worker_start_s": round(start_s, 2),
        "clips_per_minute": round(60 * clips / (wall_s - start_s), 1),
        "clips_per_minute_with_start": round(60 * clips / wall_s, 1),
        "mean_clip_s": round(summary["seconds"] / clips, 2),
        "mean_size_bytes": size // clips,
        "scenes": summary["scenes"],
        "rejected": summary["rejected"],
        "failures": summary["failures"],
    }


def time_worker_start() -> float:
    """Wall time to start one worker, import everything and open the renderer."""
    code = "from hazardline.simulate.render import Renderer; import hazardline.simulate.workers; Renderer(144, 96)"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter and code
    return time.perf_counter() - start


def time_phases(config: SimulateConfig, num_scenes: int) -> dict[str, float]:
    """Processor milliseconds a clip in each phase, over scenes made in this process."""
    watch = Stopwatch()
    watch.wrap(outcome, "build", "build world")
    for module in (scene, twins):
        watch.wrap(module, "simulate", "sample and twin physics")
    watch.wrap(scene, "_finish", "final physics")
    watch.wrap(render.Renderer, "open_scene", "build scenery")
    watch.wrap(render.Renderer, "draw", "rasterise and read back")
    renderer = render.Renderer(config.width_px, config.height_px)
    watch.wrap(render.Atmosphere, "apply", "weather and lens")
    watch.wrap(clip, "_track", "boxes")
    watch.wrap(scene, "encode", "encode")
    names = [SceneName("pair" if k % 5 < 4 else "normal", k) for k in range(num_scenes)]
    clips = 0
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            clips += len(make_scene(config, name, renderer, Path(folder)).rows)
    total = time.process_time() - start
    phases = {phase: round(1000 * seconds / clips, 1) for phase, seconds in sorted(watch.seconds.items())}
    other = total - sum(watch.seconds.values())
    return {**phases, "other": round(1000 * other / clips, 1), "all": round(1000 * total / clips, 1)}


def main() -> None:
    """Measure, print, and write the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "simulate.json")
    parser.add_argument("--pairs", type=int, default=72)
    parser.add_argument("--normal", type=int, default=48)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    config = SimulateConfig(num_pairs=arguments.pairs, num_normal=arguments.normal, num_workers=arguments.workers)
    document = {
        "benchmark": "simulate",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load_before": [round(load, 2) for load in os.getloadavg()],
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "config": config.data(),
        "stage": time_stage(config),
        "cpu_ms_per_clip": time_phases(config, 20),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, document)
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
