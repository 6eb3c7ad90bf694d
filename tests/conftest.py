"""What holds for every test: nothing is written outside of the test's own folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def datasets_of_shared_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a fixture of several tests ingests does not get into the store of the checkout either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAZARDLINE_DATASETS", str(tmp_path_factory.mktemp("data-set-store")))
        yield


@pytest.fixture(autouse=True)
def datasets_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data set store of a test is its own."""
    root = tmp_path / "data-set-store"
    monkeypatch.setenv("HAZARDLINE_DATASETS", str(root))
    return root
