"""Outputs of ingest, split and synthesize over a few clips, the pairs written by the real stage."""

from pathlib import Path
from typing import Any

from hazardline.progress import SilentReporter
from hazardline.synthesize.config import SynthesizeConfig
from hazardline.synthesize.stage import run as synthesize
from tests.synthesize.images import image, thing, truth
from tests.synthesize.scenes import scene, write_inputs


def write_run(root: Path, scenes: list[dict[str, Any]], prompt_version: str = "crashchat-short@1") -> dict[str, Path]:
    """Folders of the three stages. Every clip's file exists, with a few bytes."""
    media = root / "clips"
    media.mkdir(parents=True)
    placed = []
    for row in scenes:
        path = media / Path(row["video_uri"]).name
        path.write_bytes(b"bytes of " + row["clip_id"].encode())
        placed.append(row | {"video_uri": str(path)})
    inputs = write_inputs(root, placed)
    inputs["synthesize"] = root / "synthesize"
    inputs["synthesize"].mkdir()
    config = SynthesizeConfig(prompt_version=prompt_version)
    synthesize(config, {name: inputs[name] for name in ("ingest", "split")}, inputs["synthesize"], SilentReporter())
    return inputs


def crash_scenes(num: int = 6) -> list[dict[str, Any]]:
    """So many clips of each label, from two sources; every second crash has no text of a prevention."""
    rows = []
    for number in range(num):
        source = "native" if number % 2 else "nexar"
        later_s = number % 20 / 10
        times = {"pre_crash_start_s": 2.04, "crash_start_s": 3.21 + later_s, "crash_end_s": 4.86 + later_s}
        text = {"prevention": "Keep a safe distance." if number % 2 else None}
        rows.append(scene(f"crash-{number:02}", "crash", source=source, fps=30.0, num_frames=240, **times, **text))
        rows.append(scene(f"near-{number:02}", "near_miss", source=source))
        rows.append(scene(f"normal-{number:02}", "normal", source=source))
    return rows


def crash_run(root: Path, num: int = 6) -> dict[str, Path]:
    """A run over clips."""
    return write_run(root, crash_scenes(num))


def image_run(root: Path, num: int = 6) -> dict[str, Path]:
    """A run over images: one with a pedestrian ahead, one without anything, in turn."""
    rows = []
    for number in range(num):
        ahead = [thing("pedestrian", 12.0)] if number % 2 else [thing(ahead_m=40.0, right_m=3.5)]
        rows.append(image(f"image-{number:02}", truth(*ahead), "near_miss" if number % 2 else "normal"))
    return write_run(root, rows, "hazardnet-short@1")
