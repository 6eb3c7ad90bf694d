"""The line from every data set that ingest reads: small copies of the true forms, to the report.

Each data set goes as far as its questions; three lines go on to the report: CrashChat on its own records, six video
data sets as one, HazardQA on its own pairs. HAZARDLINE_TEST_LINES=1 takes every data set to its own report.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hazardline.progress import SilentReporter
from hazardline.recipe import load_recipe
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.layouts.registry import WRITERS
from hazardline.simulate.stage import run
from hazardline.tables import QA, SCENES, read_table

VIDEOS = SimulateConfig(num_pairs=10, num_normal=8, min_clip_s=5.0, max_clip_s=6.0, seed=3)
IMAGES = SimulateConfig(media="image", num_pairs=12, num_normal=16, seed=3)
RECIPES = Path(__file__).parents[2] / "recipes"
TO_QUESTIONS = ("ingest", "split", "synthesize")
TO_REPORT = (*TO_QUESTIONS, "train", "evaluate")


@dataclass(frozen=True)
class Line:
    """A data set, and what a recipe says for it."""

    layout: str
    source: str
    also: tuple[str, ...] = ()
    annotator: str = "deterministic"
    prompt_version: str = "crashchat-short@1"
    is_images: bool = False
    localizes: bool = True
    """Whether its crashes have the times that the perception branch is trained on."""


_HAZARD = "hazardnet-short@1"
LINES = {
    "nexar": Line("nexar", "nexar"),
    "nexar_hub": Line("nexar_hub", "nexar"),
    "mm_au": Line("mm_au", "mm_au"),
    "dada2000": Line("dada2000", "dada2000"),
    "ccd": Line("ccd", "ccd", localizes=False),
    "dota": Line("dota", "dota", also=("d2_city",)),
    "badas": Line("badas", "badas"),
    "d2_city": Line("d2_city", "d2_city", also=("dada2000",)),
    "crashchat": Line("crashchat", "crashchat", annotator="published", prompt_version="crashchat@1"),
    "drama": Line("drama", "drama", prompt_version=_HAZARD, is_images=True),
    "hazardqa": Line("hazardqa", "hazardqa", annotator="published", prompt_version=_HAZARD, is_images=True),
}
TOGETHER = Line("mm_au", "mm_au", also=("dota", "d2_city", "ccd", "nexar", "badas"))
PROGRAM = """
import json, sys
from pathlib import Path
from hazardline.progress import SilentReporter
from hazardline.stages import stage_named

def main() -> None:
    work, sections = Path(sys.argv[1]), json.loads(sys.argv[2])
    for name, section in sections.items():
        stage = stage_named(name)
        config = stage.config_class().parse(section, name)
        (work / name).mkdir()
        inputs = {key: work / key for key in stage.inputs if (work / key).is_dir()}
        stage.run_function()(config, inputs, work / name, SilentReporter())

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every data set's form, written from the same simulated clips or images."""
    root = tmp_path_factory.mktemp("layouts")
    for name, config in (("videos", VIDEOS), ("images", IMAGES)):
        (root / name).mkdir()
        run(config, {}, root / name, SilentReporter())
    for layout, write in WRITERS.items():
        (root / layout).mkdir()
        write(root / ("images" if layout in ("drama", "hazardqa") else "videos"), root / layout)
    return root


def run_line(line: Line, layouts: Path, work: Path, stages: Sequence[str]) -> None:
    """Stages of the smoke recipe on a data set, in a process of their own."""
    recipe = load_recipe(RECIPES / f"{'hazardnet' if line.is_images else 'crashchat'}_pocket_smoke.yaml")
    sections: dict[str, Any] = {name: json.loads(recipe.section_json(name)) for name in stages}
    also = [{"source": source, "root": str(layouts / source)} for source in line.also]
    sections["ingest"] |= {"source": line.source, "root": str(layouts / line.layout), "also": also}
    sections["ingest"]["max_quarantined_share"] = 0.5 if line.also else 0.0
    sections["split"]["refuse_severity"] = None  # every data set here has its own cameras for crashes, as released
    sections["synthesize"] |= {"annotator": line.annotator, "prompt_version": line.prompt_version}
    if "train" in sections and not line.localizes:
        sections["train"]["branches"].pop("perception")
    work.mkdir()
    program = work / "line.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "HAZARDLINE_HOME": str(work / "home"), "HAZARDLINE_DATASETS": str(work / "datasets")}
    done = subprocess.run(
        [sys.executable, str(program), str(work), json.dumps(sections)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", LINES)
def test_every_data_set_comes_to_its_questions(name: str, layouts: Path, tmp_path: Path) -> None:
    line, work = LINES[name], tmp_path / "line"
    run_line(line, layouts, work, TO_QUESTIONS)
    scenes = read_table(SCENES, work / "ingest")
    pairs = read_table(QA, work / "synthesize")
    assert len(scenes) >= 10 and {row["clip_id"] for row in pairs} <= {row["clip_id"] for row in scenes}
    assert len({row["split"] for row in pairs}) == 3
    positive = {row["is_positive"] for row in pairs}
    assert positive == {True, False}, "a line needs clips of both kinds"


def _report(work: Path) -> str:
    return (work / "evaluate/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["crashchat", "together", "hazardqa"])
def test_a_report_comes_of_it(name: str, layouts: Path, tmp_path: Path) -> None:
    line, work = LINES.get(name, TOGETHER), tmp_path / "line"
    run_line(line, layouts, work, TO_REPORT)
    page = _report(work)
    assert "candidate" in page and len(page) > 50_000
    if name == "together":
        sources = {row["source"] for row in read_table(SCENES, work / "ingest")}
        assert len(sources) >= 6


@pytest.mark.skipif("HAZARDLINE_TEST_LINES" not in os.environ, reason="HAZARDLINE_TEST_LINES asks for every line")
@pytest.mark.parametrize("name", [name for name in LINES if name not in ("crashchat", "hazardqa")])
def test_a_report_comes_of_every_data_set(name: str, layouts: Path, tmp_path: Path) -> None:
    work = tmp_path / "line"
    run_line(LINES[name], layouts, work, TO_REPORT)
    page = _report(work)
    assert "candidate" in page and len(page) > 50_000
