"""Builds the pocket image base (Qwen2-VL) from nothing: `make pocket-image-base`. About an hour on two cores.

Every stage resumes. The result goes to `--out`; whether it replaces the shipped checkpoint is the user's decision.
"""

import json
import shutil
from pathlib import Path

from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME
from hazardline.pocket import still_language, still_vision, stills
from hazardline.pocket.card import write_image_card
from hazardline.pocket.parallel import launch
from hazardline.pocket.settings import PocketImageSettings
from hazardline.progress import Reporter
from hazardline.simulate import stage as simulate
from hazardline.simulate.config import SimulateConfig


def build(out: Path, work: Path, settings: PocketImageSettings, reporter: Reporter) -> None:
    """Simulate, pre-train vision, encode, pre-train language, and write the checkpoint folder with its card.

    Raises:
        UserError: `out` exists already.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; give a folder that does not exist")
    work.mkdir(parents=True, exist_ok=True)
    root, prepared = work / "images", work / "prepared"
    if not root.exists():
        _simulate(root, settings, reporter)
    stills.prepare(root, prepared, settings.layout, settings.num_processes, reporter)
    if not (prepared / "vision.json").exists():
        reporter.phase("vision")
        launch(still_vision.train, settings.num_processes, root, prepared, settings)
    if not (prepared / "encoded").exists():
        still_language.encode_corpus(root, prepared, settings, reporter)
        (prepared / "encoded").touch()
    if not (prepared / "language.json").exists():
        reporter.phase("language")
        launch(still_language.train, settings.num_processes, root, prepared, settings)
    making = work / "checkpoint"
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(prepared / "checkpoint", making)
    histories = {name: json.loads((prepared / f"{name}.json").read_text()) for name in ("vision", "language")}
    write_image_card(making, settings, histories, root / MANIFEST_NAME)
    making.rename(out)


def _simulate(root: Path, settings: PocketImageSettings, reporter: Reporter) -> None:
    plan = settings.corpus
    making = root.with_name("images.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    config = SimulateConfig(
        media="image",
        num_pairs=plan.num_near_misses,
        num_normal=plan.num_normal,
        images_per_scene=plan.images_per_scene,
        width_px=settings.layout.width_px,
        height_px=settings.layout.height_px,
        seed=plan.seed,
        num_workers=settings.num_processes,
        write_crashes=False,
    )
    simulate.run(config, {}, making, reporter)
    making.rename(root)
