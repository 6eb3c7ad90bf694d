"""What all tests of devices share."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do not wait for the disk: the machine of a test does not lose its power. `test_power.py` watches the order."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    yield
