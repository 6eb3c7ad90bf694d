"""Builds the pocket base from nothing: `make pocket-base`. About an hour on two cores; every stage resumes.

With `--media image` the other base is made (`hazardline.pocket.build_images`). The result goes to `--out`; whether it
replaces the shipped checkpoint is the user's decision.
"""

import argparse
import json
import shutil
from pathlib import Path

from hazardline.environment import home
from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME
from hazardline.pocket import build_images, corpus, language, vision
from hazardline.pocket.card import write_card
from hazardline.pocket.parallel import launch
from hazardline.pocket.settings import PocketImageSettings, PocketSettings
from hazardline.progress import Reporter, TextReporter
from hazardline.simulate import stage as simulate
from hazardline.simulate.config import SimulateConfig


def build(out: Path, work: Path, settings: PocketSettings, reporter: Reporter) -> None:
    """Simulate, pre-train vision, encode, pre-train language, and write the checkpoint folder with its card.

    Raises:
        UserError: `out` exists already.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; give a folder that does not exist")
    work.mkdir(parents=True, exist_ok=True)
    root = work / "clips"
    if not root.exists():
        _simulate(root, settings, reporter)
    prepared = work / "prepared"
    corpus.prepare(root, prepared, settings.layout, settings.num_processes, reporter)
    if not (prepared / "vision.json").exists():
        reporter.phase("vision")
        launch(vision.train, settings.num_processes, root, prepared, settings)
    if not (prepared / "encoded").exists():
        language.encode_corpus(root, prepared, settings, reporter)
        (prepared / "encoded").touch()
    if not (prepared / "language.json").exists():
        reporter.phase("language")
        launch(language.train, settings.num_processes, root, prepared, settings)
    making = work / "checkpoint"
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(prepared / "checkpoint", making)
    histories = {name: json.loads((prepared / f"{name}.json").read_text()) for name in ("vision", "language")}
    write_card(making, settings, histories, root / MANIFEST_NAME)
    making.rename(out)


def _simulate(root: Path, settings: PocketSettings, reporter: Reporter) -> None:
    plan = settings.corpus
    making = root.with_name("clips.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    config = SimulateConfig(
        num_pairs=plan.num_near_misses,
        num_normal=plan.num_normal,
        seed=plan.seed,
        num_workers=settings.num_processes,
        write_crashes=False,
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
    given: Path | None = arguments.settings
    try:
        if arguments.media == "video":
            build(out, work, PocketSettings.read(given) if given else PocketSettings(), TextReporter())
        else:
            images = PocketImageSettings.read(given) if given else PocketImageSettings()
            build_images.build(out, work, images, TextReporter())
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
