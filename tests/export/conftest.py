"""One small line, traced once, for all tests of export."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hazardline.device.manifest import Prompts
from hazardline.evaluate.config import AnswerLimits
from hazardline.evaluate.testset import Splits, read_splits
from hazardline.export.bundle import Graphs, Source, make_graphs, write_manifest, write_parts
from hazardline.export.config import ExportConfig, GoldenConfig, QualityLimits, StructuralLimits
from hazardline.progress import SilentReporter
from hazardline.tasks import TASKS
from hazardline.vlm.model import load_branches
from tests.export.world import RANKS, write_export_line


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do not wait for the disk: the machine of a test does not lose its power."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    yield


@dataclass(frozen=True)
class Line:
    """Inputs of the stage, and the same as the stage's own parts."""

    inputs: dict[str, Path]
    splits: Splits
    source: Source
    model: Any
    graphs: Graphs

    @property
    def config(self) -> ExportConfig:
        return ExportConfig(
            base=str(self.inputs["base"]),
            num_workers=1,
            num_resamples=100,
            structural=StructuralLimits(num_clips=2),
            quality=QualityLimits(num_forced_clips=6, min_slice_clips=4),
            golden=GoldenConfig(num_clips=2, num_candidates=4),
        )


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    inputs = write_export_line(tmp_path_factory.mktemp("line") / "line")
    splits = read_splits(inputs)
    source = Source(
        name="crashchat-pocket",
        base=inputs["base"],
        adapters={branch: inputs["train"] / branch for branch in RANKS},
        data_digest=splits.test_digest(),
        prompts=Prompts(
            version=splits.prompt_version,
            questions=dict(splits.questions),
            max_new_tokens={task: getattr(AnswerLimits(), task) for task in TASKS},
        ),
    )
    model = load_branches(source.base, {str(name): folder for name, folder in source.adapters.items()})
    return Line(inputs, splits, source, model, make_graphs(model, source, SilentReporter()))


@pytest.fixture(scope="session")
def floating(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float bundle."""
    folder = tmp_path_factory.mktemp("floating")
    write_parts(folder, line.graphs, line.source, None)
    write_manifest(folder, line.source, None, {})
    return folder
