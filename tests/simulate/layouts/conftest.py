"""Simulated clips of every label, and the forms of published data sets that they are written in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hazardline.native import NativeClip
from hazardline.progress import SilentReporter
from hazardline.simulate.config import SimulateConfig
from hazardline.simulate.layouts.native_clips import read_clips
from hazardline.simulate.layouts.registry import WRITERS
from hazardline.simulate.stage import run

Layout = Callable[[str], Path]


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native")
    config = SimulateConfig(num_pairs=4, num_normal=3, seed=3, min_clip_s=5.0, max_clip_s=6.0)
    run(config, {}, out, SilentReporter())
    return out


@pytest.fixture(scope="session")
def native_clips(native: Path) -> list[NativeClip]:
    return list(read_clips(native))


@pytest.fixture(scope="session")
def layout(native: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The folder of a layout, written once."""
    written: dict[str, Path] = {}

    def of(source: str) -> Path:
        if source not in written:
            written[source] = tmp_path_factory.mktemp(source)
            WRITERS[source](native, written[source])
        return written[source]

    return of
