"""One small folder of every hazard family, and the ways to look into it."""

from pathlib import Path

import pytest

from hazardline.native import MANIFEST_NAME, NativeClip
from hazardline.progress import SilentReporter
from hazardline.simulate.config import HAZARD_FAMILIES, NORMAL_FAMILIES, SimulateConfig
from hazardline.simulate.stage import run


def read(root: Path) -> list[NativeClip]:
    lines = (root / MANIFEST_NAME).read_text(encoding="utf-8").splitlines()
    return [NativeClip.parse_json(line, "manifest") for line in lines]


@pytest.fixture(scope="session")
def config() -> SimulateConfig:
    return SimulateConfig(num_pairs=len(HAZARD_FAMILIES), num_normal=len(NORMAL_FAMILIES), seed=11)


@pytest.fixture(scope="session")
def root(config: SimulateConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native")
    run(config, {}, out, SilentReporter())
    return out


@pytest.fixture(scope="session")
def clips(root: Path) -> list[NativeClip]:
    return read(root)
