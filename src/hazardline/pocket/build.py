"""Builds the pocket base from nothing: `make pocket-base`. About an hour on two cores; every stage resumes.

The result goes to `--out`; whether it replaces the shipped checkpoint is the user's decision.
"""

import argparse
import json
import shutil
from pathlib import Path

from hazardline.environment import home
from hazardline.errors import UserError
from hazardline.native import MANIFEST_NAME
from hazardline.pocket import corpus, language, vision
from hazardline.pocket.card import write_card
from hazardline.pocket.parallel import launch
from hazardline.pocket.settings import PocketSettings
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
    folder = home() / "pocket-base"
    parser.add_argument("--out", type=Path, default=folder / "checkpoint", help="folder to write; must not exist")
    parser.add_argument("--work", type=Path, default=folder / "work", help="folder for clips and features (about 8 GB)")
    parser.add_argument("--settings", type=Path, help="JSON file with other settings (pocket/settings.py)")
    arguments = parser.parse_args()
    settings = PocketSettings.read(arguments.settings) if arguments.settings else PocketSettings()
    try:
        build(arguments.out, arguments.work, settings, TextReporter())
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
