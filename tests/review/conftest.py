"""Runs and projects that the tests of review share; nobody writes into them."""

from pathlib import Path

import pytest

from hazardline.review.media import MediaPlan
from hazardline.review.project import write_project
from tests.review.runs import crash_run, image_run


@pytest.fixture(scope="session")
def crash_inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return crash_run(tmp_path_factory.mktemp("review") / "run")


@pytest.fixture(scope="session")
def image_inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return image_run(tmp_path_factory.mktemp("review") / "images")


@pytest.fixture(scope="session")
def crash_project(crash_inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All clips, prefilled."""
    out = tmp_path_factory.mktemp("review") / "project"
    write_project(crash_inputs, out, 100, 0, MediaPlan())
    return out


@pytest.fixture(scope="session")
def image_project(image_inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("review") / "project"
    write_project(image_inputs, out, 100, 0, MediaPlan())
    return out
