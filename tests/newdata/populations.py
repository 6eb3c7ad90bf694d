"""Dataset versions of synthetic clips, as ingest writes them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hazardline.ingest.features import FEATURES
from hazardline.newdata.sample import CATEGORIES, Clips
from hazardline.tables import SCENES, write_table

WEATHERS = ("sunny", "rainy", "foggy")


@dataclass(frozen=True)
class Clip:
    """A row of the scenes table and its features."""

    scene: dict[str, Any]
    features: dict[str, Any]

    def with_scene(self, **changes: Any) -> "Clip":
        return Clip({**self.scene, **changes}, self.features)


def clip(name: str, rng: np.random.Generator, rain: float = 0.2, **more: Any) -> Clip:
    """A clip drawn from one population; `rain` is the chance of rain, which also darkens the picture."""
    chances = [(1 - rain) * 0.9, rain, (1 - rain) * 0.1]
    weather = str(rng.choice(WEATHERS, p=chances))
    label = str(rng.choice(("crash", "near_miss", "normal"), p=(0.3, 0.3, 0.4)))
    duration = float(np.round(rng.uniform(6, 10), 2))
    scene: dict[str, Any] = {name: None for name in SCENES.schema.names}
    scene |= {
        "clip_id": name,
        "video_uri": f"/data/{name}.mp4",
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "size_bytes": int(rng.integers(30_000, 60_000)),
        "source": "native",
        "label": label,
        "scenario": str(rng.choice(("rear_end", "cut_in", "red_light"))),
        "weather": weather,
        "light": str(rng.choice(("day", "night"), p=(0.7, 0.3))),
        "scene": str(rng.choice(("urban", "rural", "highway"))),
        "duration_s": duration,
        "fps": 10.0,
        "num_frames": int(duration * 10),
        "width_px": 144,
        "height_px": 96,
        "codec": "h264",
        "agents": ["car"],
        **more,
    }
    colour = rng.normal(0.5 - 0.15 * (weather == "rainy"), 0.1, 14)
    features = {
        "clip_id": name,
        "first_colour": colour.tolist(),
        "clip_colour": colour.tolist(),
        "motion_energy": rng.uniform(0, 0.2, 4).tolist(),
    }
    return Clip(scene, features)


def population(prefix: str, size: int, seed: int, **more: Any) -> list[Clip]:
    """Independent clips."""
    rng = np.random.default_rng(seed)
    return [clip(f"{prefix}-{k:05}", rng, **more) for k in range(size)]


def write_version(folder: Path, clips: Sequence[Clip]) -> Path:
    """Write the two tables in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(SCENES, folder, [c.scene for c in clips])
    write_table(FEATURES, folder, [c.features for c in clips])
    return folder


def recordings(
    num_reference: int,
    num_new: int,
    seed: int,
    clips_each: int = 1,
    change: Callable[[dict[str, np.ndarray], np.random.Generator], None] | None = None,
) -> Clips:
    """The sample of two sides: so many recordings each, of which every clip repeats the recording's weather and look.

    `change` may alter the new side's columns (n_new) in place before they are put together.
    """
    rng = np.random.default_rng(seed)
    sides = []
    for is_new, size in ((False, num_reference), (True, num_new)):
        repeated = {
            "weather": rng.choice(3, size, p=(0.6, 0.3, 0.1)),
            "light": rng.choice(2, size, p=(0.7, 0.3)),
            "label": rng.choice(3, size),
            "duration_s": rng.gamma(4.0, 2.0, size),
            "colour": rng.normal(size=(size, 6)),
        }
        columns = {name: np.repeat(values, clips_each, axis=0) for name, values in repeated.items()}
        columns["colour"] = columns["colour"] + rng.normal(size=columns["colour"].shape) * 0.3
        if is_new and change is not None:
            change(columns, rng)
        sides.append(columns)
    pooled = {name: np.concatenate([side[name] for side in sides]) for name in sides[0]}
    num_recordings = num_reference + num_new
    return Clips(
        is_new=np.repeat([False, True], [num_reference * clips_each, num_new * clips_each]),
        groups=np.repeat(np.arange(num_recordings), clips_each),
        categories={name: [str(v) for v in pooled[name]] for name in CATEGORIES if name in pooled},
        numbers={"duration_s": pooled["duration_s"]},
        vectors={"colour": pooled["colour"]},
    )
