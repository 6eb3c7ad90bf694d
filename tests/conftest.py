"""What holds for every test: nothing is written outside of the test's own folder."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def datasets_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data set store of a test is its own."""
    root = tmp_path / "data-set-store"
    monkeypatch.setenv("HAZARDLINE_DATASETS", str(root))
    return root
