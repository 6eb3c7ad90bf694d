"""Builds a pocket base from nothing: `make pocket-base`, `make pocket-image-base`.

On two cores the one for clips takes about an hour, the one for images an hour and a half. Every stage resumes. The
result goes to `--out`; whether it replaces the shipped checkpoint is the user's decision.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hazardline.environment import home
from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME
from hazardline.pocket import corpus, language, still_language, still_vision, stills, vision
from hazardline.pocket.card import write_card
from hazardline.pocket.parallel import launch
from hazardline.pocket.settings import PocketImageSettings, PocketSettings
from hazardline.progress import Reporter, TextReporter
from hazardline.simulate import stage as simulate
from hazardline.simulate.config import SimulateConfig


@dataclass(frozen=True)
class Stages:
    """What is done for one of the two bases, in the order of the fields.

    Attributes:
        simulated: settings of the simulation.
        prepare: writes pixels and targets of (root, work, layout, processes, reporter).
        train_vision: one process of the vision stage.
        encode: writes the frozen encoder's features of (root, work, settings, reporter).
        train_language: one process of the language stage.
    """

    simulated: Callable[[Any], dict[str, Any]]
    prepare: Callable[..., None]
    train_vision: Callable[..., None]
    encode: Callable[..., None]
    train_language: Callable[..., None]


def _video(settings: PocketSettings) -> dict[str, Any]:
    return {}


def _image(settings: PocketImageSettings) -> dict[str, Any]:
    layout, count = settings.layout, settings.corpus.images_per_scene
    return {
        "media": "image",
        "images_per_scene": count,
        "width_px": layout.width_px,
        "height_px": layout.height_px,
    }


_STAGES = {
    "video": Stages(_video, corpus.prepare, vision.train, language.encode_corpus, language.train),
    "image": Stages(_image, stills.prepare, still_vision.train, still_language.encode_corpus, still_language.train),
}


def build(out: Path, work: Path, settings: PocketSettings | PocketImageSettings, reporter: Reporter) -> None:
    """Simulate, pre-train vision, encode, pre-train language, and write the checkpoint folder with its card.

    Raises:
        UserError: `out` exists already.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; give a folder that does not exist")
    stages = _STAGES[settings.layout.media]
    root, prepared, processes = work / "simulated", work / "prepared", settings.num_processes
    work.mkdir(parents=True, exist_ok=True)
    if not root.exists():
        _simulate(root, settings, stages, reporter)
    stages.prepare(root, prepared, settings.layout, processes, reporter)
    if not (prepared / "vision.json").exists():
        reporter.phase("vision")
        launch(stages.train_vision, processes, root, prepared, settings)
    if not (prepared / "encoded").exists():
        stages.encode(root, prepared, settings, reporter)
        (prepared / "encoded").touch()
    if not (prepared / "language.json").exists():
        reporter.phase("language")
        launch(stages.train_language, processes, root, prepared, settings)
    making = work / "checkpoint"
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(prepared / "checkpoint", making)
    histories = {name: json.loads((prepared / f"{name}.json").read_text()) for name in ("vision", "language")}
    write_card(making, settings, histories, root / MANIFEST_NAME)
    making.rename(out)


def _simulate(root: Path, settings: PocketSettings | PocketImageSettings, stages: Stages, reporter: Reporter) -> None:
    plan = settings.corpus
    making = root.with_name(f"{root.name}.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    config = SimulateConfig(
        num_pairs=plan.num_near_misses,
        num_normal=plan.num_normal,
        seed=plan.seed,
        num_workers=settings.num_processes,
        write_crashes=False,
        **stages.simulated(settings),
    )
    simulate.run(config, {}, making, reporter)
    making.rename(root)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", choices=("video", "image"), default="video", help="which of the two bases")
    parser.add_argument("--out", type=Path, help="folder to write; must not exist")
    parser.add_argument("--work", type=Path, help="folder for clips and features (about 8 GB)")
    parser.add_argument("--settings", type=Path, help="JSON file with other settings (pocket/settings.py)")
    arguments = parser.parse_args()
    folder = home() / ("pocket-base" if arguments.media == "video" else "pocket-image-base")
    out, work = arguments.out or folder / "checkpoint", arguments.work or folder / "work"
    kind = PocketSettings if arguments.media == "video" else PocketImageSettings
    try:
        build(out, work, kind.read(arguments.settings) if arguments.settings else kind(), TextReporter())
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
